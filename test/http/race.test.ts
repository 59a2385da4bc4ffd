// Concurrent requests: one lineage in every race, sign-out wins, and a killed server signs nobody out.

import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, type TestContext, test } from 'node:test'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import {
  type Answer,
  assertRefused,
  bearer,
  call,
  newKey,
  ownPage,
  refreshBody,
  refreshCookie,
  serve,
  signInBody,
  signInCookie,
} from './server.ts'

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-race-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

function countRows(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true })
  const row = database.prepare('SELECT count(*) AS rows FROM daypass_session').get()
  database.close()
  return row!.rows as number
}

/** Both stores, and how many rows they hold. */
const stores = {
  memory: () => {
    const store = createMemoryStore()
    const ids = new Set<string>()
    const create: typeof store.create = async (session) => {
      ids.add(session.id)
      await store.create(session)
    }
    return { store: { ...store, create }, rows: () => ids.size }
  },
  SQLite: (t: TestContext) => {
    const path = join(temporaryFolder(t), 'sessions.db')
    const store = createSqliteStore(path)
    t.after(() => store.close())
    return { store, rows: () => countRows(path) }
  },
}

const statusesOf = (answers: Answer[]) => [...new Set(answers.map((answer) => answer.status))].sort()

for (const [storeName, makeStore] of Object.entries(stores)) {
  describe(`100 refreshes of one token in flight at once, ${storeName}`, () => {
    const count = 100

    test('each with a key of its own: one gets the child, all others 409', async (t) => {
      const { store, rows } = makeStore(t)
      const { origin, events, errors } = await serve(t, { store })
      const { json } = await signInBody(origin)
      const answers = await Promise.all(
        Array.from({ length: count }, () => refreshBody(origin, json.refreshToken, newKey())),
      )
      const winners = answers.filter((answer) => answer.status === 200)
      assert.equal(winners.length, 1)
      for (const answer of answers) {
        if (answer.status !== 200) assertRefused(answer, 409, 'ERR_REFRESH_SUPERSEDED', 'superseded')
      }
      assert.equal((await refreshBody(origin, winners[0]!.json.refreshToken, newKey())).status, 200)
      assert.equal((await store.find(json.session.id))!.generation, 2)
      assert.equal(rows(), 1)
      assert.deepEqual(errors, [])
      assert.equal(events.filter((event) => event.type === 'superseded').length, count - 1)
      assert.ok(!events.some(({ type }) => type === 'reused' || type === 'revoked'))
    })

    test('all with one key, as retries of one refresh: all get the same child', async (t) => {
      const { store, rows } = makeStore(t)
      const { origin, events } = await serve(t, { store })
      const { cookie, json } = await signInCookie(origin)
      const key = newKey()
      const answers = await Promise.all(Array.from({ length: count }, () => refreshCookie(origin, cookie!, key)))
      assert.deepEqual(statusesOf(answers), [200])
      assert.equal(new Set(answers.map((answer) => answer.cookie)).size, 1)
      assert.equal(events.filter((event) => event.type === 'rotated').length, 1)
      assert.equal((await refreshCookie(origin, answers[0]!.cookie!, newKey())).status, 200)
      assert.equal((await store.find(json.session.id))!.generation, 2)
      assert.equal(rows(), 1)
    })

    test('without keys: siblings, of which one goes on and the others are superseded, then reuse', async (t) => {
      const { store, rows } = makeStore(t)
      const { origin, events, time } = await serve(t, { store })
      const { json } = await signInBody(origin)
      const answers = await Promise.all(Array.from({ length: count }, () => refreshBody(origin, json.refreshToken)))
      assert.ok(statusesOf(answers).every((status) => status === 200 || status === 409))
      assert.equal(events.filter((event) => event.type === 'rotated').length, 1)
      assert.equal((await store.find(json.session.id))!.generation, 1)
      assert.equal(rows(), 1)

      const siblings = answers.filter((answer) => answer.status === 200).map((answer) => answer.json.refreshToken)
      const [chosen, ...others] = siblings
      assert.ok(others.length > 0)
      const next = await refreshBody(origin, chosen, newKey())
      assert.equal(next.status, 200)
      const late = await Promise.all(others.map((sibling) => refreshBody(origin, sibling, newKey())))
      assert.deepEqual(statusesOf(late), [409])
      const after = await refreshBody(origin, next.json.refreshToken, newKey())
      assert.equal(after.status, 200, 'the losers changed nothing')
      assert.ok(!events.some(({ type }) => type === 'reused' || type === 'revoked'))

      time.offset += 31_000
      const thieves = await Promise.all(others.map((sibling) => refreshBody(origin, sibling, newKey())))
      assert.deepEqual(statusesOf(thieves), [401])
      assertRefused(await refreshBody(origin, after.json.refreshToken, newKey()), 401, 'ERR_SESSION_REVOKED')
      assert.equal(events.filter((event) => event.type === 'reused').length, 1, 'one event tells of it')
      assert.equal(rows(), 1)
    })

    test('with every kind of key at once, cookies and bodies mixed: 200 and 409 alone', async (t) => {
      const { store, rows } = makeStore(t)
      const { origin, events } = await serve(t, { store }, { cookie: { name: 'daypass' } })
      const { json } = await signInBody(origin)
      const cookie = `daypass=${json.refreshToken}`
      const shared = newKey()
      const answers = await Promise.all(
        Array.from({ length: count }, (_, index) =>
          [
            () => refreshBody(origin, json.refreshToken, shared),
            () => refreshBody(origin, json.refreshToken),
            () => refreshCookie(origin, cookie, newKey()),
            () => refreshCookie(origin, cookie, shared),
          ][index % 4]!(),
        ),
      )
      assert.deepEqual(statusesOf(answers), [200, 409])
      assert.equal(events.filter((event) => event.type === 'rotated').length, 1)
      assert.equal((await store.find(json.session.id))!.generation, 1)
      assert.equal(rows(), 1)
      assert.ok(!events.some(({ type }) => type === 'reused' || type === 'revoked'))
    })

    test('a chain of races: each winner’s child raced again, and the session is as it was', async (t) => {
      const { store, rows } = makeStore(t)
      const { origin, events } = await serve(t, { store })
      let { json } = await signInBody(origin)
      for (let turn = 0; turn < 10; turn++) {
        const answers = await Promise.all(
          Array.from({ length: 10 }, () => refreshBody(origin, json.refreshToken, newKey())),
        )
        const winners = answers.filter((answer) => answer.status === 200)
        assert.equal(winners.length, 1)
        json = winners[0]!.json
      }
      assert.equal((await store.find(json.session.id))!.generation, 10)
      assert.equal(rows(), 1)
      assert.ok(!events.some(({ type }) => type === 'reused' || type === 'revoked'))
    })
  })

  describe(`sign-out racing, ${storeName}`, () => {
    test('sign-out racing refresh: after its response, no refresh and no access token of the session is accepted', async (t) => {
      const { store } = makeStore(t)
      const { origin, errors } = await serve(t, { store })
      for (let round = 0; round < 20; round++) {
        const { json } = await signInBody(origin)
        const key = newKey()
        const known: { refreshToken: string; accessToken: string }[] = [json]
        const race = Array.from({ length: 10 }, (_, index) => async () => {
          const answer = await refreshBody(origin, json.refreshToken, [undefined, key, newKey()][index % 3])
          if (answer.status === 200) known.push(answer.json)
          else assert.ok([401, 409].includes(answer.status), answer.text)
          return answer
        })
        let signedOut = false
        race.splice(round % 11, 0, async () => {
          const answer = await call(origin, 'POST /auth/logout', { json: { refreshToken: json.refreshToken } })
          signedOut = true
          return answer
        })
        // Some begin only when the sign-out may have been answered already.
        const late = Array.from({ length: 5 }, async (_, index) => {
          await new Promise((resolve) => setTimeout(resolve, index))
          const isAfter = signedOut
          const answer = await refreshBody(origin, json.refreshToken, key)
          if (answer.status === 200) known.push(answer.json)
          if (isAfter) assert.equal(answer.status, 401, 'a refresh that began after the sign-out got in')
        })
        const answers = await Promise.all(race.map((run) => run()))
        assert.equal(answers[round % 11]!.status, 204)
        await Promise.all(late)
        for (const { refreshToken, accessToken } of known) {
          assertRefused(await refreshBody(origin, refreshToken, newKey()), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
          assertRefused(
            await call(origin, 'GET /me', { headers: bearer(accessToken) }),
            401,
            'ERR_ACCESS_TOKEN_REVOKED',
          )
        }
        assert.deepEqual((await store.list('ada', Date.now(), 100)).length, 0)
      }
      assert.deepEqual(errors, [])
    })

    test('theft racing its owner: the thief gets nothing, and no later than asked again the session is over', async (t) => {
      const { store } = makeStore(t)
      const { origin, time } = await serve(t, { store })
      for (let round = 0; round < 10; round++) {
        const { json } = await signInBody(origin)
        const next = await refreshBody(origin, json.refreshToken, newKey())
        time.offset += 31_000
        const race = [
          () => refreshBody(origin, json.refreshToken, newKey()),
          () => refreshBody(origin, next.json.refreshToken, newKey()),
        ]
        if (round % 2) race.reverse()
        const answers = await Promise.all(race.map((run) => run()))
        if (round % 2) answers.reverse()
        const [thief, owner] = answers as [Answer, Answer]
        // Right after a rotation a copy of the token before looks like a request that lost a race.
        const isRace = thief.status === 409
        if (isRace) time.offset += 31_000
        const judged = isRace ? await refreshBody(origin, json.refreshToken, newKey()) : thief
        assertRefused(judged, 401, 'ERR_REFRESH_TOKEN_REUSED', 'invalid_grant')
        assert.ok([200, 401].includes(owner.status))
        const last = owner.json.refreshToken ?? next.json.refreshToken
        assertRefused(await refreshBody(origin, last, newKey()), 401, 'ERR_SESSION_REVOKED', 'invalid_grant')
      }
    })

    test('revoke-all racing sign-in: earlier sessions are over, and a session that is there afterwards is complete', async (t) => {
      const { store } = makeStore(t)
      const { origin, auth, errors } = await serve(t, { store })
      for (let round = 0; round < 20; round++) {
        const subject = `person-${round}`
        const [here, ...before] = await Promise.all([1, 2, 3].map(() => signInBody(origin, subject)))
        const everywhere = round % 2 === 0
        const revokeAll = async () => {
          if (everywhere) return void (await auth.revokeSubject(subject, { reason: 'password' }))
          const answer = await call(origin, 'DELETE /auth/sessions', { headers: bearer(here!.json.accessToken) })
          assert.equal(answer.status, 200)
        }
        const racing: Promise<unknown>[] = Array.from({ length: 5 }, () => signInBody(origin, subject))
        racing.splice(round % 6, 0, revokeAll())
        const during = (await Promise.all(racing)).filter((answer) => answer !== undefined) as Answer[]
        const after = await signInBody(origin, subject)

        const live = new Set((await auth.sessions(subject)).map((session) => session.id))
        assert.ok(live.has(after.json.session.id), 'a sign-in after it is untouched')
        assert.equal(live.has(here!.json.session.id), !everywhere)
        for (const { json } of before) assert.equal(live.has(json.session.id), false)
        for (const { json } of [here!, ...before, ...during, after]) {
          const isIn = live.has(json.session.id)
          const me = await call(origin, 'GET /me', { headers: bearer(json.accessToken) })
          assert.equal(me.status, isIn ? 200 : 401)
          const refreshed = await refreshBody(origin, json.refreshToken, newKey())
          assert.equal(refreshed.status, isIn ? 200 : 401)
        }
      }
      assert.deepEqual(errors, [])
    })

    test('revoke-all racing refresh: no session that it ended comes back', async (t) => {
      const { store } = makeStore(t)
      const { origin, auth } = await serve(t, { store })
      for (let round = 0; round < 20; round++) {
        const subject = `person-${round}`
        const sessions = await Promise.all([1, 2, 3].map(() => signInBody(origin, subject)))
        const racing = sessions.map(({ json }) => refreshBody(origin, json.refreshToken, newKey()))
        await auth.revokeSubject(subject, { reason: 'admin' })
        for (const [index, answer] of (await Promise.all(racing)).entries()) {
          assert.ok([200, 401].includes(answer.status))
          const token = answer.json.refreshToken ?? sessions[index]!.json.refreshToken
          assertRefused(await refreshBody(origin, token, newKey()), 401, 'ERR_SESSION_REVOKED')
        }
        assert.deepEqual(await auth.sessions(subject), [])
      }
    })
  })
}

describe('a server killed −9 in the middle of a refresh', () => {
  async function start(t: TestContext, database: string, flag: string, ahead = 0) {
    const child = fork(new URL('dying-server.ts', import.meta.url), [database, flag, String(ahead)])
    t.after(() => child.kill('SIGKILL'))
    const [origin] = (await once(child, 'message')) as [string]
    return { child, origin }
  }
  const died = async (child: ChildProcess) => {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    return child.signalCode
  }

  for (const moment of ['before', 'after'] as const) {
    test(`${moment} the commit: the retry with the same key gets in, and there is one lineage`, async (t) => {
      const folder = temporaryFolder(t)
      const [database, flag] = [join(folder, 'sessions.db'), join(folder, 'flag')]
      const first = await start(t, database, flag)
      const inBody = await signInBody(first.origin)
      const inCookie = await signInCookie(first.origin)
      const keyless = await signInBody(first.origin)
      const [bodyKey, cookieKey] = [newKey(), newKey()]

      writeFileSync(flag, moment)
      // All three in flight: group commit makes them one transaction, and no response arrives.
      const lost = await Promise.allSettled([
        refreshBody(first.origin, inBody.json.refreshToken, bodyKey),
        refreshCookie(first.origin, inCookie.cookie!, cookieKey),
        refreshBody(first.origin, keyless.json.refreshToken),
      ])
      assert.deepEqual(
        lost.map(({ status }) => status),
        ['rejected', 'rejected', 'rejected'],
      )
      assert.equal(await died(first.child), 'SIGKILL')
      rmSync(flag)
      assert.equal(countRows(database), 3)

      const second = await start(t, database, flag)
      const body = await refreshBody(second.origin, inBody.json.refreshToken, bodyKey)
      const cookie = await refreshCookie(second.origin, inCookie.cookie!, cookieKey)
      const without = await refreshBody(second.origin, keyless.json.refreshToken)
      assert.deepEqual(
        [body, cookie, without].map((answer) => answer.status),
        [200, 200, 200],
      )
      assert.equal(body.json.session.id, inBody.json.session.id)
      second.child.kill('SIGKILL')
      await died(second.child)

      // A day later still: the laptop that slept asks the same refresh again, and gets the same token.
      const third = await start(t, database, flag, 86_400_000)
      const late = await refreshBody(third.origin, inBody.json.refreshToken, bodyKey)
      assert.equal(late.json.refreshToken, body.json.refreshToken)
      const lateCookie = await refreshCookie(third.origin, inCookie.cookie!, cookieKey)
      assert.equal(lateCookie.cookie, cookie.cookie)

      // One lineage: the child goes on, and the old token with another key ends the session.
      const next = await refreshBody(third.origin, late.json.refreshToken, newKey())
      assert.equal(next.status, 200)
      assert.equal(countRows(database), 3)
      third.child.kill('SIGKILL')
      await died(third.child)
      const fourth = await start(t, database, flag, 86_400_000 + 31_000)
      const thief = await refreshBody(fourth.origin, inBody.json.refreshToken, newKey())
      assertRefused(thief, 401, 'ERR_REFRESH_TOKEN_REUSED', 'invalid_grant')
      assertRefused(await refreshBody(fourth.origin, next.json.refreshToken, newKey()), 401, 'ERR_SESSION_REVOKED')
      const bystander = await call(fourth.origin, 'POST /auth/refresh', {
        headers: { ...ownPage, cookie: lateCookie.cookie! },
      })
      assert.equal(bystander.status, 200, 'the other session lives on')
      assert.equal(countRows(database), 3)
    })
  }
})
