// The tests that the libSQL store and the D1 store share: the contract, round trips, deadlines, other tables and versions.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { createDaypass, type Session } from '../../src/index.ts'
import type { SqlStoreOptions } from '../../src/stores/sql-options.ts'
import { type Store, storeContract } from '../../src/testing/index.ts'
import { issuer, makeSession, makeStep, sameRow } from '../../src/testing/store-harness.ts'
import { raceThrough } from './two-instances.ts'

/** One batch: it runs when `send` is called. */
export type Intercept = (send: () => Promise<any>) => Promise<any>

/** An empty database. */
export interface BatchDatabase {
  /** Opens a store on it. @param intercept Is called for each batch. */
  open(options?: SqlStoreOptions, intercept?: Intercept): Store
  /** Runs one statement outside of any store. */
  run(sql: string): Promise<Record<string, any>[]>
  remove(): Promise<void>
}

type MakeDatabase = () => Promise<BatchDatabase>

/** Runs the whole contract, or all but the longest rule of it. Each rule has a database of its own. */
export function contract(option: string, make: MakeDatabase, { isQuick = false } = {}): void {
  describe(option, () => {
    for (const rule of storeContract) {
      if (isQuick && rule.name.startsWith('2,000 random calls')) continue
      test(rule.name, async (t) => {
        let database: BatchDatabase | undefined
        await rule.run({
          async open() {
            database ??= await make()
            // A busy machine is no fault.
            return database.open({ timeout: 10_000 })
          },
          rawRows: async () =>
            (await database!.run('SELECT * FROM daypass_session'))
              .flatMap((row) => Object.values(row))
              .map((value) => (typeof value === 'object' && value !== null ? new Uint8Array(value) : String(value))),
          async cleanup() {
            await database?.remove()
            database = undefined
          },
          note: (line) => t.diagnostic(line),
        })
      })
    }
  })
}

/** The tests that are not in the contract. */
export function describeBatches(make: MakeDatabase): void {
  const key = () => randomBytes(16).toString('base64url')
  const t0 = Date.now()
  /** Runs a test on an empty database. */
  const on = (name: string, body: (database: BatchDatabase) => Promise<void>) =>
    test(name, async (t) => {
      const database = await make()
      t.after(database.remove)
      await body(database)
    })

  on('each call takes the one round trip that docs/sqlite.md states', async (database) => {
    let trips = 0
    const store = database.open({}, (send) => {
      trips++
      return send()
    })
    await store.open(issuer)
    assert.equal(trips, 3)
    await store.open(issuer)
    assert.equal(trips, 6)
    const auth = createDaypass({ secret: randomBytes(32), issuer, store })
    const { refreshToken } = await auth.issue('ada')
    const session = makeSession(t0)
    const calls = {
      create: () => store.create(session),
      refresh: () => auth.refresh(refreshToken, { idempotencyKey: key() }),
      'a refresh too late': () => store.advance(makeStep({ ...session, generation: -1 }, t0)),
      find: () => store.find(session.id),
      list: () => store.list('ada', t0, 10),
      update: () => store.update(session.id, t0, { label: 'new' }),
      revoke: () => store.revoke(session.id, t0, 'admin'),
      revokeSubject: () => store.revokeSubject('ada', t0, 'admin'),
      revokedSince: () => store.revokedSince(t0),
      prune: () => store.prune(t0 + 1, 1),
      check: () => store.check(),
      readClock: () => store.readClock!(),
    }
    const counted: Record<string, number> = {}
    for (const [name, call] of Object.entries(calls)) {
      trips = 0
      await call()
      counted[name] = trips
    }
    assert.deepEqual(counted, Object.fromEntries(Object.keys(calls).map((name) => [name, 1])))
  })

  on(
    'a hundred concurrent refreshes of one token through two instances: one lineage, no error but 409',
    async (database) => {
      await raceThrough([database.open(), database.open()])
      assert.equal((await database.run('SELECT count(*) AS n FROM daypass_session'))[0]!.n, 1)
    },
  )

  on('eight instances that start together on an empty database make its tables once', async (database) => {
    await Promise.all(Array.from({ length: 8 }, () => database.open().open(issuer)))
    assert.deepEqual(
      (await database.run('SELECT * FROM daypass_schema')).map((row) => ({ ...row })),
      [{ module: 'session', version: 1, usable_from: 1, issuer }],
    )
  })

  on('of two issuers that start together, one gets the tables, and the other ERR_STORE_ISSUER', async (database) => {
    const results = await Promise.allSettled([
      database.open().open('https://a.test'),
      database.open().open('https://b.test'),
    ])
    const failed = results.filter((result) => result.status === 'rejected')
    assert.deepEqual(
      failed.map(({ reason }) => reason.code),
      ['ERR_STORE_ISSUER'],
    )
  })

  on('a write that runs after its caller got 503 changes nothing, whichever call it was', async (database) => {
    const direct = database.open()
    await direct.open(issuer)
    const sessions = Array.from({ length: 6 }, (_, index) => makeSession(t0, { subject: `subject-${index}` }))
    for (const session of sessions) await direct.create(session)
    const [one, two, three, four, five, six] = sessions as [Session, Session, Session, Session, Session, Session]
    const release = Promise.withResolvers<void>()
    let isHeld = false
    const sent: Promise<unknown>[] = []
    const store = database.open({ timeout: 2000 }, (send) => {
      const answer = isHeld ? release.promise.then(send) : send()
      sent.push(answer)
      return answer
    })
    await store.open(issuer)
    isHeld = true
    const born = makeSession(t0)
    const results = await Promise.allSettled([
      store.advance(makeStep(one, t0)),
      store.advance(makeStep({ ...two, generation: 7 }, t0)),
      store.update(three.id, t0, { label: 'late' }),
      store.revoke(four.id, t0, 'admin'),
      store.revokeSubject(five.subject, t0, 'admin'),
      store.prune(Date.now() + 1e12, 10),
      store.create(born),
    ])
    for (const result of results) assert.equal(result.status === 'rejected' && result.reason.status, 503)
    release.resolve()
    await Promise.all(sent)
    for (const session of [one, two, three, four, five, six]) sameRow(await direct.find(session.id), session)
    assert.equal(await direct.find(born.id), null)
    assert.ok(await direct.advance(makeStep(one, t0)))
  })

  on('a clock of this machine that is hours off changes no deadline', async (database) => {
    for (const off of [-7_200_000, 7_200_000]) {
      const store = database.open({ clock: () => Date.now() + off })
      await store.open(issuer)
      const session = makeSession(t0)
      await store.create(session)
      assert.ok(await store.advance(makeStep(session, t0)))
      assert.ok(Math.abs((await store.readClock!()) - Date.now()) < 60_000)
    }
  })

  on('a store whose clock is set back or forward while it runs goes on', async (database) => {
    let off = 0
    const store = database.open({ clock: () => Date.now() + off })
    await store.open(issuer)
    for (off of [0, -3_600_000, 3_600_000]) {
      const session = makeSession(t0)
      await store.create(session)
      assert.ok(await store.advance(makeStep(session, t0)))
    }
  })

  on('after a newer version changed the tables, a running store and a starting one write nothing', async (database) => {
    const running = database.open()
    await running.open(issuer)
    const session = makeSession(t0)
    await running.create(session)
    await database.run("UPDATE daypass_schema SET version = 2, usable_from = 2 WHERE module = 'session'")
    const isNewer = { code: 'ERR_STORE_SCHEMA' }
    await assert.rejects(running.advance(makeStep(session, t0)), isNewer)
    await assert.rejects(running.create(makeSession(t0)), isNewer)
    await assert.rejects(running.revoke(session.id, t0, 'admin'), isNewer)
    await assert.rejects(running.prune(Date.now() + 1e12, 10), isNewer)
    await assert.rejects(database.open().open(issuer), isNewer)
    const rows = await database.run('SELECT generation, revoked_at FROM daypass_session')
    assert.deepEqual(
      rows.map((row) => ({ ...row })),
      [{ generation: 0, revoked_at: null }],
    )
  })

  on('a newer version that only adds a column works beside this one', async (database) => {
    const running = database.open()
    await running.open(issuer)
    await database.run("ALTER TABLE daypass_session ADD COLUMN colour TEXT NOT NULL DEFAULT 'blue'")
    await database.run("UPDATE daypass_schema SET version = 2 WHERE module = 'session'")
    for (const store of [running, database.open()]) {
      await store.open(issuer)
      const session = makeSession(t0)
      await store.create(session)
      sameRow(await store.find(session.id), session)
    }
  })

  for (const [name, statement] of [
    ['daypass_session', 'CREATE TABLE daypass_session (id text PRIMARY KEY, subject text)'],
    ['daypass_session', 'CREATE VIEW Daypass_Session AS SELECT 1 AS id'],
    ['daypass_session_idle', 'CREATE TABLE daypass_session_idle (id text)'],
    ['daypass_schema', 'CREATE TABLE daypass_schema (module text PRIMARY KEY, body text)'],
    ['daypass_schema', 'CREATE TABLE DAYPASS_SCHEMA (id text PRIMARY KEY)'],
  ] as const) {
    on(`nothing is written if the app uses the name: ${statement}`, async (database) => {
      await database.run(statement)
      await assert.rejects(database.open().open(issuer), (error: any) => {
        assert.equal(error.code, 'ERR_OPTION_INVALID')
        assert.ok(error.message.includes(`\`${name}\``) && error.message.includes('`prefix`'), error.message)
        return true
      })
      const tables = "SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 'daypass%'"
      assert.equal((await database.run(tables))[0]!.n, 1)
      const other = database.open({ prefix: 'other' })
      await other.open(issuer)
      await other.create(makeSession(t0))
    })
  }

  on(
    'stores with prefixes of their own share a database, and one issuer’s sessions are not another’s',
    async (database) => {
      const [one, two] = [database.open({ prefix: 'one' }), database.open({ prefix: 'two' })]
      await one.open('https://one.test')
      await two.open('https://two.test')
      const session = makeSession(t0)
      await one.create(session)
      assert.equal(await two.find(session.id), null)
      assert.deepEqual(await two.list(session.subject, t0, 10), [])
    },
  )
}
