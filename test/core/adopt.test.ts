// Are an app's old refresh tokens traded for sessions: each once, whatever is lost, and none that should not be?

import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, randomUUID, sign as signWith } from 'node:crypto'
import { describe, test } from 'node:test'
import { SignJWT } from 'jose'
import jwt from 'jsonwebtoken'
import { adoptJwt } from '../../src/adopt/jwt.ts'
import { adoptMongoose } from '../../src/adopt/mongoose.ts'
import type { Adopted, Adopter } from '../../src/core/api.ts'
import { createHandler, type HttpOptions } from '../../src/http/handler.ts'
import type { HttpRequest } from '../../src/http/message.ts'
import { createDaypass, DaypassError, type DaypassEvent, type DaypassOptions, type Store } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { createFakeClock, createSeededRandom, type SeededRandom } from '../../src/testing/index.ts'
import { freshSeed } from '../../src/testing/random.ts'

const oldSecret = randomBytes(64).toString('hex')
const secret = randomBytes(32)
const day = 86_400
const newKey = () => randomBytes(16).toString('base64url')

/** An app that kept UUIDs in a list, and its Daypass. */
function start(options: Partial<DaypassOptions<any>> = {}, store: Store = createMemoryStore()) {
  const time = createFakeClock()
  const events: DaypassEvent[] = []
  const rows: string[] = []
  const counted: Store = {
    ...store,
    create: (session) => store.create(session).then(() => void rows.push(session.id)),
  }
  const auth = createDaypass<any>({
    secret,
    issuer: 'https://app.example',
    store: counted,
    clock: time.clock,
    onEvent: (event) => events.push(event),
    ...options,
  })
  const types = () => events.map(({ type }) => type)
  return { auth, time, events, types, rows, store: counted }
}

/** Old tokens in a list of the app's. */
function createList() {
  const list = new Map<string, string>()
  const asked: string[] = []
  const adopter: Adopter = {
    find(token) {
      asked.push(token)
      const subject = list.get(token)
      return subject === undefined ? null : { subject, claims: { role: 'user' } }
    },
    forget: (token) => void list.delete(token),
  }
  const give = (subject = 'ada') => {
    const token = randomUUID()
    list.set(token, subject)
    return token
  }
  return { list, adopter, asked, give }
}

/** A Daypass whose store and list take their time, each call another. */
function slow(adopter: Adopter, chance: SeededRandom) {
  const wait = async () => {
    for (let turns = chance.below(12); turns > 0; turns--) await Promise.resolve()
  }
  const store = createMemoryStore()
  const late = <A extends unknown[], T>(call: (...args: A) => T | Promise<T>) => {
    return async (...args: A): Promise<T> => {
      await wait()
      const result = await call(...args)
      await wait()
      return result
    }
  }
  const slowStore = {
    ...store,
    find: late(store.find),
    create: late(store.create),
    revoke: late(store.revoke),
    advance: late(store.advance),
  }
  const { find, forget } = adopter
  return start({ adopt: { ...adopter, find: late(find), ...(forget && { forget: late(forget) }) } }, slowStore)
}

const sign = (
  time: { now(): number },
  payload: object = {},
  options: jwt.SignOptions = {},
  key: jwt.Secret = oldSecret,
) =>
  jwt.sign({ iat: Math.floor(time.now() / 1000), ...payload }, key, { subject: 'ada', expiresIn: 7 * day, ...options })

const isRefused = (code: string) => (error: any) => error.code === code && error.error === 'invalid_grant'

describe('an old token', () => {
  const stores: Record<string, () => Store> = {
    memory: createMemoryStore,
    SQLite: () => createSqliteStore(':memory:'),
  }
  for (const [name, makeStore] of Object.entries(stores)) {
    test(`is traded for a session, and the list forgets it (${name})`, async () => {
      const { adopter, list, give } = createList()
      const { auth, types, time } = start({ adopt: adopter }, makeStore())
      const old = give()
      const userAgent = 'U'.repeat(300)
      const tokens = await auth.refresh(old, { ip: '192.0.2.1', userAgent, idempotencyKey: newKey() })
      assert.equal(tokens.outcome, 'adopted')
      assert.equal(tokens.session.subject, 'ada')
      assert.deepEqual(tokens.session.claims, { role: 'user' })
      assert.deepEqual({ ...tokens.session.device }, { ip: '192.0.2.1', userAgent: 'U'.repeat(255) })
      assert.equal(tokens.session.expiresAt, time.now() + 30 * day * 1000)
      assert.equal((await auth.verify(tokens.accessToken)).claims.role, 'user')
      assert.equal(list.size, 0)
      time.advance(900)
      const next = await auth.refresh(tokens.refreshToken, { idempotencyKey: newKey() })
      assert.deepEqual([next.outcome, next.session.id], ['rotated', tokens.session.id])
      assert.deepEqual(types(), ['adopted', 'rotated'])
    })

    test(`asked again with its key gives the same token, however late, also when the list has forgotten it (${name})`, async () => {
      const { adopter, give } = createList()
      const { auth, time, rows } = start({ adopt: adopter }, makeStore())
      const old = give()
      const idempotencyKey = newKey()
      const lost = await auth.refresh(old, { idempotencyKey })
      time.advance(5 * day)
      const again = await auth.refresh(old, { idempotencyKey })
      assert.equal(again.outcome, 'replayed')
      assert.equal(again.refreshToken, lost.refreshToken)
      assert.equal((await auth.refresh(again.refreshToken)).outcome, 'rotated')
      assert.equal(rows.length, 1)
    })

    test(`is a theft where a copy comes later, and the session ends (${name})`, async () => {
      const { adopter, give } = createList()
      const { auth, time, types, events } = start({ adopt: adopter }, makeStore())
      const old = give()
      const { refreshToken } = await auth.refresh(old, { idempotencyKey: newKey() })
      time.advance(600)
      await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }), isRefused('ERR_REFRESH_TOKEN_REUSED'))
      await assert.rejects(auth.refresh(refreshToken), isRefused('ERR_SESSION_REVOKED'))
      assert.deepEqual(types(), ['adopted', 'reused', 'revoked'])
      // The audit log can tell which token the copy was of: the one before the session's first.
      const presented = events.flatMap((event) => (event.type === 'reused' ? [event.presentedGeneration] : []))
      assert.deepEqual(presented, [-1])
    })

    test(`of 50 trades at once one wins, and one session begins (${name})`, async () => {
      const { adopter, give } = createList()
      const { auth, rows } = start({ adopt: adopter }, makeStore())
      const old = give()
      const results = await Promise.allSettled(
        Array.from({ length: 50 }, () => auth.refresh(old, { idempotencyKey: newKey() })),
      )
      const codes = results.map((each) => (each.status === 'fulfilled' ? each.value.outcome : each.reason.code)).sort()
      assert.deepEqual(codes, [...Array(49).fill('ERR_REFRESH_SUPERSEDED'), 'adopted'])
      assert.equal(rows.length, 1)
      const same = give()
      const idempotencyKey = newKey()
      const copies = await Promise.all(Array.from({ length: 50 }, () => auth.refresh(same, { idempotencyKey })))
      assert.equal(new Set(copies.map(({ refreshToken }) => refreshToken)).size, 1)
      assert.equal((await auth.sessions('ada')).length, 2)
    })
  }

  test('without a key is good again for a day, as any token is, and not after it', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter })
    const old = give()
    await auth.refresh(old)
    time.advance(20)
    assert.equal((await auth.refresh(old)).outcome, 'retried')
    time.advance(86_380)
    await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_REUSED'))
  })

  test('that nobody had is refused, and begins nothing', async () => {
    const { adopter, asked } = createList()
    const forgotten: string[] = []
    const { auth, rows } = start({ adopt: { ...adopter, forget: (token) => void forgotten.push(token) } })
    await assert.rejects(auth.refresh(randomUUID()), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    assert.equal(asked.length, 1)
    assert.equal(await auth.revokeToken(randomUUID()), false)
    assert.deepEqual(forgotten, [], 'the app is not told to forget what it never knew')
    asked.length = 0
    for (const garbage of [
      '',
      'x',
      'x'.repeat(15),
      'x'.repeat(8193),
      'dpr_',
      `dpr_${'A'.repeat(83)}`,
      'x'.repeat(10_000),
      null,
      7,
      { $ne: null },
      ['x'.repeat(20)],
    ]) {
      await assert.rejects(auth.refresh(garbage as string), isRefused('ERR_REFRESH_TOKEN_INVALID'))
      assert.equal(await auth.revokeToken(garbage as string), false)
    }
    assert.equal(asked.length, 0, 'what looks like ours, or like nothing, is never asked of the app')
    assert.equal(rows.length, 0)
  })

  test('may be of 16 to 8,192 characters', async () => {
    const { adopter, list } = createList()
    const { auth } = start({ adopt: adopter })
    for (const old of ['x'.repeat(16), 'x'.repeat(8192)]) {
      list.set(old, 'ada')
      assert.equal((await auth.refresh(old)).outcome, 'adopted')
    }
  })

  test('says nothing of when the person signed in, where the app does not', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter })
    const { accessToken } = await auth.refresh(give())
    assert.equal((await auth.verify(accessToken)).authTime, 0)
    const told = start({ adopt: { find: () => ({ subject: 'ada', authTime: time.now() - 5000 }), forget() {} } })
    assert.equal((await told.auth.refresh(randomUUID())).session.authTime, time.now() - 5000)
  })

  test('of an account that is no longer active is refused, and stays as it is', async () => {
    const { adopter, give, list } = createList()
    let active = false
    const { auth, rows } = start({ adopt: adopter, isActive: () => active })
    const old = give()
    await assert.rejects(auth.refresh(old), isRefused('ERR_SUBJECT_INACTIVE'))
    assert.deepEqual([rows.length, list.size], [0, 1])
    active = true
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('of another client is refused, and the owner’s is good', async () => {
    const { auth } = start({ adopt: { find: () => ({ subject: 'ada', clientId: 'mobile' }), forget() {} } })
    const old = randomUUID()
    await assert.rejects(auth.refresh(old, { clientId: 'other' }), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    assert.equal((await auth.refresh(old, { clientId: 'mobile' })).outcome, 'adopted')
  })

  test('counts among the sessions that a subject may have', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter, maxSessionsPerSubject: 2 })
    for (let i = 0; i < 4; i++) {
      await auth.refresh(give())
      time.advance(1)
    }
    assert.equal((await auth.sessions('ada')).length, 2)
  })

  test('is one token also when the server’s secret has been rotated meanwhile', async () => {
    const { adopter, give } = createList()
    const store = createMemoryStore()
    const old = give()
    const idempotencyKey = newKey()
    const first = await start({ adopt: adopter }, store).auth.refresh(old, { idempotencyKey })
    const rotated = start({ adopt: adopter, secret: [randomBytes(32), secret] }, store)
    const again = await rotated.auth.refresh(old, { idempotencyKey })
    assert.deepEqual([again.outcome, again.session.id], ['replayed', first.session.id])
    assert.equal((await rotated.auth.refresh(first.refreshToken)).outcome, 'rotated')
  })

  test('nothing of it is in the row', async () => {
    const { adopter, give } = createList()
    const store = createSqliteStore(':memory:')
    const { auth } = start({ adopt: adopter }, store)
    const old = give()
    const { session } = await auth.refresh(old)
    const row = await store.find(session.id)
    assert.equal(JSON.stringify(row).includes(old), false)
  })
})

test('copies of a trade that meet anywhere: one session, and nobody is told to sign in again', async (t) => {
  const chance = createSeededRandom(freshSeed())
  t.diagnostic(`seed ${chance.seed}`)
  for (let round = 0; round < 100; round++) {
    const { adopter, give } = createList()
    const jwtAdopter = adoptJwt({ secret: oldSecret, until: new Date('2030-01-01') })
    const { auth, time } = slow(round % 2 === 0 ? adopter : jwtAdopter, chance)
    const old = round % 2 === 0 ? give() : sign(time)
    const idempotencyKey = newKey()
    const same = await Promise.all(Array.from({ length: 5 }, () => auth.refresh(old, { idempotencyKey })))
    assert.equal(new Set(same.map(({ refreshToken }) => refreshToken)).size, 1)
    assert.equal(same.filter(({ outcome }) => outcome === 'adopted').length, 1)
    assert.equal((await auth.sessions('ada')).length, 1)
  }
})

describe('when something is away', () => {
  test('the app’s list: 503, nothing begins, and the token stays good', async () => {
    const { adopter, give } = createList()
    let away = true
    const find: Adopter['find'] = (token, context) => {
      if (away) throw new Error(`connect ECONNREFUSED ${token}`)
      return adopter.find(token, context)
    }
    const { auth, rows } = start({ adopt: { ...adopter, find } })
    const old = give()
    await assert.rejects(auth.refresh(old), (error: any) => {
      assert.deepEqual([error.code, error.status, error.retryAfter], ['ERR_ADOPT_FAILED', 503, 1])
      assert.equal(error.cause.message, `connect ECONNREFUSED ${old}`, 'for the logs')
      return !error.message.includes(old)
    })
    assert.equal(rows.length, 0)
    away = false
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('the app’s list: a copy of a token that was traded is a theft all the same', async () => {
    const { adopter, give, asked } = createList()
    let away = false
    const find: Adopter['find'] = (token, context) => {
      if (away) throw new Error('away')
      return adopter.find(token, context)
    }
    const { auth, time } = start({ adopt: { ...adopter, find } })
    const old = give()
    const { refreshToken } = await auth.refresh(old, { idempotencyKey: newKey() })
    time.advance(600)
    away = true
    await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }), isRefused('ERR_REFRESH_TOKEN_REUSED'))
    await assert.rejects(auth.refresh(refreshToken), isRefused('ERR_SESSION_REVOKED'))
    assert.equal(asked.length, 1)
  })

  test('an external signer: 503, nothing begins, the token stays good; and one trade is one signature', async () => {
    const { adopter, give, list } = createList()
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    let away = true
    let signatures = 0
    const signer = async (data: Uint8Array) => {
      if (away) throw new Error('away')
      signatures++
      return signWith(null, data, privateKey)
    }
    const { auth, rows } = start({ adopt: adopter, signingKeys: [{ algorithm: 'EdDSA', publicKey, sign: signer }] })
    const old = give()
    await assert.rejects(auth.refresh(old), { code: 'ERR_SIGNER_UNAVAILABLE', status: 503 })
    assert.deepEqual([rows.length, list.size], [0, 1])
    away = false
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
    assert.equal(signatures, 1)
  })

  test('the list, when it should forget: the same refresh asked again makes it forget', async () => {
    const { adopter, give, list } = createList()
    let away = true
    const forget = (token: string) => {
      if (away) throw new Error('away')
      return adopter.forget!(token)
    }
    const { auth, rows } = start({ adopt: { ...adopter, forget } })
    const old = give()
    const idempotencyKey = newKey()
    await assert.rejects(auth.refresh(old, { idempotencyKey }), { code: 'ERR_ADOPT_FAILED' })
    assert.equal(list.size, 1)
    away = false
    const tokens = await auth.refresh(old, { idempotencyKey })
    assert.deepEqual([tokens.outcome, list.size, rows.length], ['replayed', 0, 1])
  })

  test('the list, when it should forget: signing out with the token makes it forget, also when the session is over', async () => {
    for (const isOver of [false, true]) {
      const { adopter, give, list } = createList()
      let away = true
      const forget = (token: string) => {
        if (away) throw new Error('away')
        return adopter.forget!(token)
      }
      const { auth } = start({ adopt: { ...adopter, forget } })
      const old = give()
      await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }), { code: 'ERR_ADOPT_FAILED' })
      if (isOver) await auth.revokeSubject('ada')
      away = false
      assert.equal(await auth.revokeToken(old), !isOver)
      assert.equal(list.size, 0)
      assert.deepEqual(await auth.sessions('ada'), [])
    }
  })

  test('the store: 503, and the token stays good', async () => {
    const { adopter, give, list } = createList()
    const store = createMemoryStore()
    let away = true
    const { auth } = start(
      { adopt: adopter },
      {
        ...store,
        find: (id) => (away ? Promise.reject(new Error('away')) : store.find(id)),
        create: (session) => (away ? Promise.reject(new Error('away')) : store.create(session)),
      },
    )
    const old = give()
    await assert.rejects(auth.refresh(old))
    assert.equal(list.size, 1)
    away = false
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('the store’s disk: its error is told as it is, and the token stays good', async () => {
    const { adopter, give, list } = createList()
    const store = createMemoryStore()
    let full = true
    const create: Store['create'] = (session) =>
      full ? Promise.reject(new DaypassError('ERR_STORE_FULL')) : store.create(session)
    const { auth } = start({ adopt: adopter }, { ...store, create })
    const old = give()
    await assert.rejects(auth.refresh(old), { code: 'ERR_STORE_FULL', status: 503 })
    assert.equal(list.size, 1)
    full = false
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('the answer to the write: it is found written, and told as what it is', async () => {
    const { adopter, give } = createList()
    const store = createMemoryStore()
    const { auth } = start(
      { adopt: adopter },
      {
        ...store,
        async create(session) {
          await store.create(session)
          throw new Error('time-out')
        },
      },
    )
    const idempotencyKey = newKey()
    const tokens = await auth.refresh(give(), { idempotencyKey })
    assert.equal(tokens.outcome, 'replayed')
    assert.equal((await auth.refresh(tokens.refreshToken)).outcome, 'rotated')
  })

  test('the caller: nothing begins', async () => {
    const { adopter, give, list } = createList()
    const { auth, rows } = start({ adopt: adopter })
    await assert.rejects(auth.refresh(give(), { signal: { aborted: true } }), { code: 'ERR_REQUEST_ABORTED' })
    assert.deepEqual([rows.length, list.size], [0, 1])
  })
})

describe('signing out', () => {
  test('with an old token that was never traded makes it worthless', async () => {
    const { adopter, give, list, asked } = createList()
    const { auth, types } = start({ adopt: adopter })
    const old = give()
    assert.equal(await auth.revokeToken(old), true)
    assert.equal(list.size, 0)
    await assert.rejects(auth.refresh(old), isRefused('ERR_SESSION_REVOKED'))
    assert.equal(await auth.revokeToken(old), false)
    assert.equal(asked.length, 1, 'the app is not asked again about what Daypass knows')
    assert.deepEqual(await auth.sessions('ada'), [])
    assert.deepEqual(types(), [])
  })

  test('with an old token that was traded ends its session', async () => {
    const { adopter, give } = createList()
    const { auth } = start({ adopt: adopter })
    const old = give()
    const { refreshToken } = await auth.refresh(old)
    assert.equal(await auth.revokeToken(old), true)
    await assert.rejects(auth.refresh(refreshToken), isRefused('ERR_SESSION_REVOKED'))
  })

  test('wins over a trade that is on its way, wherever the two meet', async (t) => {
    const chance = createSeededRandom(freshSeed())
    t.diagnostic(`seed ${chance.seed}`)
    for (let turns = 0; turns < 100; turns++) {
      const { adopter, give } = createList()
      const { auth } = slow(adopter, chance)
      const old = give()
      const trade = auth.refresh(old, { idempotencyKey: newKey() }).catch(() => null)
      for (let turn = turns % 12; turn > 0; turn--) await Promise.resolve()
      assert.equal(await auth.revokeToken(old), true)
      const tokens = await trade
      if (tokens !== null) {
        await assert.rejects(auth.refresh(tokens.refreshToken), isRefused('ERR_SESSION_REVOKED'))
      }
      await assert.rejects(auth.refresh(old), isRefused('ERR_SESSION_REVOKED'))
      assert.deepEqual(await auth.sessions('ada'), [])
    }
  })
})

describe('adoptJwt', () => {
  test('trades what jsonwebtoken signed with the old secret, once, with nothing stored', async () => {
    const adopt = adoptJwt({ secret: oldSecret, claims: ({ role }) => ({ role }) })
    const { auth, time } = start({ adopt })
    const old = sign(time, { role: 'admin' })
    const idempotencyKey = newKey()
    const tokens = await auth.refresh(old, { idempotencyKey })
    assert.deepEqual([tokens.session.subject, tokens.session.claims], ['ada', { role: 'admin' }])
    assert.equal((await auth.refresh(old, { idempotencyKey })).refreshToken, tokens.refreshToken)
    assert.equal((await auth.sessions('ada')).length, 1)
    const others = await auth.refresh(sign(time, { role: 'user' }, { subject: 'eve' }))
    assert.deepEqual([others.outcome, others.session.subject], ['adopted', 'eve'])
  })

  test('trades what an RSA key signed, RS256 where nothing else is said, by its PEM or KeyObject', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    for (const key of [publicKey, publicKey.export({ type: 'spki', format: 'pem' }) as string]) {
      const { auth, time } = start({ adopt: adoptJwt({ publicKey: key }) })
      assert.equal((await auth.refresh(sign(time, {}, { algorithm: 'RS256' }, privateKey))).outcome, 'adopted')
      const other = sign(time, {}, { algorithm: 'RS512' }, privateKey)
      await assert.rejects(auth.refresh(other), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    }
  })

  test('trades a token whose header says no `typ`', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const old = await new SignJWT({ sub: 'ada', exp: Math.floor(time.now() / 1000) + day })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(oldSecret))
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('is not traded again when its session is over and its row gone', async () => {
    for (const end of ['sign-out', 'sign-out with the old token', 'theft'] as const) {
      const { auth, time, store } = start({ adopt: adoptJwt({ secret: oldSecret }) })
      const old = sign(time)
      const { refreshToken, session } = await auth.refresh(old, { idempotencyKey: newKey() })
      if (end === 'sign-out') await auth.revokeToken(refreshToken)
      else if (end === 'theft') {
        time.advance(60)
        await assert.rejects(auth.refresh(old))
      } else await auth.revokeToken(old)
      time.advance(2 * day)
      await auth.prune()
      assert.equal(await store.find(session.id), null)
      await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }), isRefused('ERR_REFRESH_TOKEN_INVALID'))
      assert.deepEqual(await auth.sessions('ada'), [])
    }
  })

  test('one that was signed out before it was traded stays so when the row is gone', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const old = sign(time)
    await auth.revokeToken(old)
    time.advance(2 * day)
    await auth.prune()
    await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_INVALID'))
  })

  for (const [engine, createStore] of [
    ['memory', createMemoryStore],
    ['SQLite', () => createSqliteStore(':memory:')],
  ] as const) {
    test(`instants with a fraction, and ends that never come, are taken by every store: ${engine} (RFC 7519 §2)`, async () => {
      const time = createFakeClock()
      const now = time.now() / 1000
      const cases: [string, object, Partial<Adopted>][] = [
        ['exp', { exp: now + 3600.1234567 }, {}],
        ['iat as authTime', { iat: now - 0.1234567, exp: now + 3600 }, { authTime: time.now() - 123.4567 }],
        ['an end that never comes', { exp: now + 3600 }, { expiresAt: Number.POSITIVE_INFINITY }],
        ['a far end', { exp: now + 3600 }, { expiresAt: Number.MAX_VALUE }],
      ]
      for (const [what, payload, more] of cases) {
        const old = await new SignJWT({ sub: 'ada', ...payload })
          .setProtectedHeader({ alg: 'HS256' })
          .sign(Buffer.from(oldSecret))
        const plain = adoptJwt({ secret: oldSecret })
        const adopt: Adopter = {
          ...plain,
          find: async (token, context) => {
            const found = await plain.find(token, context)
            return found && { ...found, ...more }
          },
        }
        const store = createStore()
        const auth = createDaypass({ secret: randomBytes(48), issuer: 'x', store, adopt, clock: time.clock })
        const idempotencyKey = newKey()
        const outcomes: string[] = []
        for (let i = 0; i < 3; i++) outcomes.push((await auth.refresh(old, { idempotencyKey })).outcome)
        assert.deepEqual(outcomes, ['adopted', 'replayed', 'replayed'], what)
        const [session] = await auth.sessions('ada')
        assert.ok(Number.isInteger(session!.authTime), what)
        await auth.revoke(session!.id)
        time.advance(3599)
        await assert.rejects(auth.refresh(old), isRefused('ERR_SESSION_REVOKED'), what)
        time.advance(-3599)
      }
    })
  }

  test('what is remembered of a token goes when the token is over', async () => {
    const { auth, time, rows, store } = start({ adopt: adoptJwt({ secret: oldSecret }), idleTimeout: day })
    const { refreshToken } = await auth.refresh(sign(time))
    assert.equal(rows.length, 2, 'the session and what remembers its token')
    for (const id of rows) assert.match(id, /^[\w-]{22}$/, 'as ids are that every engine keeps')
    await auth.revokeToken(refreshToken)
    time.advance(6 * day)
    await auth.prune()
    assert.equal((await Promise.all(rows.map((id) => store.find(id)))).filter(Boolean).length, 1)
    time.advance(3 * day)
    await auth.prune()
    assert.equal((await Promise.all(rows.map((id) => store.find(id)))).filter(Boolean).length, 0)
  })

  test('an answer lost is given again after the old token’s own end', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const old = sign(time, {}, { expiresIn: 60 })
    const idempotencyKey = newKey()
    const lost = await auth.refresh(old, { idempotencyKey })
    time.advance(3600)
    assert.equal((await auth.refresh(old, { idempotencyKey })).refreshToken, lost.refreshToken)
  })

  test('refuses what is no refresh token of the app, without asking anybody', async () => {
    const store = createMemoryStore()
    let reads = 0
    const find: Store['find'] = (id) => {
      reads++
      return store.find(id)
    }
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) }, { ...store, find })
    const good = sign(time)
    const [header, payload, signature] = good.split('.') as [string, string, string]
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
    const last = signature.at(-1)!
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const bad: Record<string, string> = {
      'another secret': sign(time, {}, {}, randomBytes(32)),
      'another algorithm': sign(time, {}, { algorithm: 'HS384' }),
      'an RSA key': sign(time, {}, { algorithm: 'RS256' }, privateKey),
      'a public key for a secret': sign(time, {}, {}, publicKey.export({ type: 'spki', format: 'pem' })),
      'no algorithm': `${none}.${payload}.`,
      'no algorithm, signed': `${none}.${payload}.${signature}`,
      'no signature': `${header}.${payload}.`,
      'a signature spelled otherwise': `${header}.${payload}.${signature.slice(0, -1)}${alphabet[alphabet.indexOf(last) ^ 1]}`,
      padding: `${good}=`,
      'no payload': `${header}..${signature}`,
      'no header': `.${payload}.${signature}`,
      'a part too many': `${good}.${signature}`,
      'a part too few': `${header}.${payload}`,
      'a space': `${good} `,
      'a line': `${header}.${payload}\n.${signature}`,
      'an access token of ours': sign(time, {}, { header: { alg: 'HS256', typ: 'at+jwt' } }),
      'a kind whose name begins alike': sign(time, {}, { header: { alg: 'HS256', typ: 'jwt-logout' } }),
      'a logout token': sign(time, {}, { header: { alg: 'HS256', typ: 'logout+jwt' } }),
      'an unknown crit': sign(time, {}, { header: { alg: 'HS256', crit: ['x'], x: 1 } as any }),
      'an array': jwt.sign('["ada"]', oldSecret),
      'two subjects': jwt.sign('{"sub":"ada","sub":"eve","exp":99999999999}', oldSecret),
      'no JWT': randomUUID(),
    }
    for (const [what, token] of Object.entries(bad)) {
      await assert.rejects(auth.refresh(token), isRefused('ERR_REFRESH_TOKEN_INVALID'), what)
      assert.equal(await auth.revokeToken(token), false, what)
    }
    assert.equal(reads, 0)
    const expired: Record<string, string> = {
      expired: sign(time, {}, { expiresIn: -1 }),
      'at its end': sign(time, {}, { expiresIn: 0 }),
      'not yet good': sign(time, {}, { notBefore: 60 }),
      'no subject': jwt.sign({ exp: Math.floor(time.now() / 1000) + 60 }, oldSecret),
      'an empty subject': jwt.sign({ sub: '', exp: Math.floor(time.now() / 1000) + 60 }, oldSecret),
      'a number for a subject': jwt.sign({ sub: 7 as any, exp: Math.floor(time.now() / 1000) + 60 }, oldSecret),
    }
    for (const [what, token] of Object.entries(expired)) {
      await assert.rejects(auth.refresh(token), isRefused('ERR_REFRESH_TOKEN_INVALID'), what)
    }
    assert.equal((await auth.refresh(good)).outcome, 'adopted')
  })

  test('a second signature on the same token is the same token (ECDSA has two of each)', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const { auth, time } = start({ adopt: adoptJwt({ publicKey, algorithms: ['ES256'] }) })
    const first = sign(time, {}, { algorithm: 'ES256' }, privateKey)
    const payload = jwt.decode(first) as object
    const second = jwt.sign(payload, privateKey, { algorithm: 'ES256' })
    assert.notEqual(first, second)
    assert.equal(first.slice(0, first.lastIndexOf('.')), second.slice(0, second.lastIndexOf('.')))
    const { session } = await auth.refresh(first, { idempotencyKey: newKey() })
    await assert.rejects(auth.refresh(second, { idempotencyKey: newKey() }), { code: 'ERR_REFRESH_SUPERSEDED' })
    assert.deepEqual(
      (await auth.sessions('ada')).map(({ id }) => id),
      [session.id],
    )
  })

  test('asks for issuer, audience, kind and time where told to', async () => {
    const adopt = adoptJwt({
      secret: oldSecret,
      issuer: 'old',
      audience: 'web',
      accepts: ({ type }) => type === 'refresh',
      subject: ({ userId }) => userId,
      authTime: ({ iat }) => iat! * 1000,
      until: new Date(createFakeClock().now() + day * 1000),
    })
    const { auth, time } = start({ adopt })
    const options = { issuer: 'old', audience: 'web' }
    const payload = { type: 'refresh', userId: 'u1' }
    await assert.rejects(auth.refresh(sign(time, payload, { ...options, issuer: 'new' })))
    await assert.rejects(auth.refresh(sign(time, payload, { ...options, audience: 'app' })))
    await assert.rejects(auth.refresh(sign(time, { ...payload, type: 'access' }, options)))
    const { session } = await auth.refresh(sign(time, payload, options))
    assert.deepEqual([session.subject, session.authTime], ['u1', time.now()])
    const late = sign(time, { ...payload, jti: '2' }, options)
    time.advance(day)
    await assert.rejects(auth.refresh(late), isRefused('ERR_REFRESH_TOKEN_INVALID'))
  })

  test('a token without an end needs `until`', async () => {
    const forever = jwt.sign({ sub: 'ada' }, oldSecret)
    const { auth, rows } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    await assert.rejects(auth.refresh(forever), { code: 'ERR_OPTION_INVALID' })
    assert.equal(rows.length, 0)
    const until = new Date(createFakeClock().now() + 30 * day * 1000)
    const bounded = start({ adopt: adoptJwt({ secret: oldSecret, until }) })
    assert.equal((await bounded.auth.refresh(forever)).outcome, 'adopted')
  })

  test('of an app that keeps a list: only what is in it, and the same person’s', async () => {
    const { adopter, list } = createList()
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret, stored: adopter }) })
    const [kept, gone, other] = ['1', '2', '3'].map((jti) => sign(time, { jti })) as [string, string, string]
    const forever = jwt.sign({ sub: 'ada' }, oldSecret)
    list.set(kept, 'ada').set(other, 'eve').set(forever, 'ada')
    await assert.rejects(auth.refresh(gone), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    await assert.rejects(auth.refresh(other), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    const { session } = await auth.refresh(kept)
    assert.deepEqual([session.claims, list.has(kept)], [{ role: 'user' }, false])
    // The list forgets it, so nothing has to remember when it would have ended.
    assert.equal((await auth.refresh(forever)).outcome, 'adopted')
    assert.equal(list.has(forever), false)
  })

  test('a token that ends while the app looks for it is still traded, once', async () => {
    const time = createFakeClock()
    let late = 0
    const stored: Adopter = {
      async find() {
        time.advance(late)
        return { subject: 'ada' }
      },
    }
    const { auth } = start({ adopt: adoptJwt({ secret: oldSecret, stored }), clock: time.clock })
    const old = sign(time, {}, { expiresIn: 60 })
    late = 61
    const { session } = await auth.refresh(old, { idempotencyKey: newKey() })
    await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }))
    await auth.revoke(session.id)
    time.advance(2 * day)
    await auth.prune()
    await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('a weak secret is taken only by name; an empty one, none, two, or one that does not fit never', () => {
    assert.throws(() => adoptJwt({ secret: 'secret' }), { code: 'ERR_KEY_WEAK' })
    assert.throws(() => adoptJwt({ secret: randomBytes(31) }), { code: 'ERR_KEY_WEAK' })
    assert.ok(adoptJwt({ secret: 'secret', allowWeakSecret: true }))
    assert.ok(adoptJwt({ secret: randomBytes(32) }))
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const wrong = [
      {},
      { secret: '', allowWeakSecret: true },
      { secret: oldSecret, publicKey },
      { publicKey: privateKey },
      { publicKey: 'no key' },
      { secret: oldSecret, algorithms: ['RS256' as const] },
      { publicKey, algorithms: ['HS256' as const] },
      { publicKey, algorithms: ['RS256' as const, 'HS256' as const] },
      { secret: oldSecret, algorithms: ['HS256' as const, 'RS256' as const] },
      { secret: oldSecret, algorithms: [] },
      { secret: oldSecret, until: new Date(Number.NaN) },
    ]
    for (const options of wrong) assert.throws(() => adoptJwt(options), { code: 'ERR_OPTION_INVALID' })
  })
})

test('adoptMongoose asks by the token alone and takes it out of the array', async () => {
  const calls: unknown[] = []
  const model = {
    async findById(id: unknown) {
      calls.push(id)
      return { _id: id, role: 'admin' }
    },
    collection: {
      async findOne(filter: object) {
        calls.push(filter)
        return { _id: 7 }
      },
      updateOne: async (...update: object[]) => void calls.push(update),
    },
  }
  const { auth } = start({ adopt: adoptMongoose(model, { field: 'tokens', claims: ({ role }) => ({ role }) }) })
  const old = randomUUID()
  const { session } = await auth.refresh(old)
  assert.deepEqual([session.subject, session.claims], ['7', { role: 'admin' }])
  assert.deepEqual(calls, [{ tokens: old }, 7, [{ tokens: old }, { $pull: { tokens: old } }]])
  for (const field of ['$where', 'tokens.$where', 'tokens ', '']) {
    assert.throws(() => adoptMongoose(model, { field }), { code: 'ERR_OPTION_INVALID' }, field)
  }
})

test('adoptMongoose looks in `refreshTokens` where no field is named; nobody’s token, or a gone user’s, is refused', async () => {
  const users = new Map<number, object>()
  const tokens = new Map<string, number>()
  const model = {
    findById: async (id: number) => users.get(id) ?? null,
    collection: {
      async findOne({ refreshTokens }: { refreshTokens: string }) {
        const id = tokens.get(refreshTokens)
        return id === undefined ? null : { _id: id }
      },
      updateOne: async ({ refreshTokens }: { refreshTokens: string }) => void tokens.delete(refreshTokens),
    },
  }
  const { auth } = start({ adopt: adoptMongoose(model) })
  const old = randomUUID()
  await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_INVALID'))
  tokens.set(old, 7)
  await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_INVALID'))
  users.set(7, { _id: 7 })
  assert.equal((await auth.refresh(old)).session.subject, '7')
  assert.equal(tokens.size, 0)
})

test('an adopter that forgets nothing must say an end that is to come, or its tokens are not traded', async () => {
  const time = createFakeClock()
  for (const expiresAt of [undefined, 0, Number.NaN, time.now()]) {
    const adopt: Adopter = { find: () => ({ subject: 'ada', ...(expiresAt !== undefined && { expiresAt }) }) }
    const { auth, rows } = start({ adopt, clock: time.clock })
    await assert.rejects(auth.refresh(randomUUID()), { code: 'ERR_OPTION_INVALID' }, String(expiresAt))
    assert.equal(rows.length, 0)
  }
})

describe('over HTTP', () => {
  function serve(options: HttpOptions = {}) {
    const { adopter, give, list } = createList()
    const { auth } = start({ adopt: adopter })
    const handler = createHandler(auth, { onError: () => {}, ...options })
    async function post(path: string, headers: Record<string, string>, body?: unknown) {
      const all: Record<string, string> = { 'sec-fetch-site': 'same-origin', ...headers }
      if (body !== undefined) Object.assign(all, { 'content-type': 'application/json', 'content-length': '9' })
      const request: HttpRequest = {
        method: 'POST',
        path,
        host: 'app.example',
        secure: true,
        local: false,
        headers: (name) => (all[name] === undefined ? [] : [all[name]]),
        text: async () => '',
        ...(body !== undefined && { parsedBody: body }),
        aborted: false,
      }
      const answer = (await handler.handle(request))!
      return { ...answer, json: answer.body as any }
    }
    return { auth, give, list, post }
  }

  test('an old token in the body is answered in the body', async () => {
    const { give, post } = serve()
    const answer = await post('/auth/refresh', { 'idempotency-key': `"${newKey()}"` }, { refreshToken: give() })
    assert.equal(answer.status, 200)
    assert.match(answer.json.refreshToken, /^dpr_/)
  })

  test('an old token in the app’s own cookie is answered in ours; sign-out makes both worthless', async () => {
    const { auth, give, list, post } = serve({ cookie: { oldName: 'jwt' } })
    const old = give()
    const answer = await post('/auth/refresh', { cookie: `jwt=${old}` })
    assert.equal(answer.status, 200)
    const ours = /^__Host-daypass=[^;]+/.exec(answer.headers['set-cookie']!)![0]
    assert.equal(list.size, 0)
    // The old cookie stays where it is; ours goes before it.
    const next = await post('/auth/refresh', { cookie: `jwt=${old}; ${ours}` })
    assert.equal(next.status, 200)
    const unused = give()
    assert.equal((await post('/auth/logout', { cookie: `jwt=${unused}; ${ours}` })).status, 204)
    for (const cookie of [ours, `jwt=${old}`, `jwt=${unused}`]) {
      assert.equal((await post('/auth/refresh', { cookie })).status, 401, cookie)
    }
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('old cookies of one name that came twice are none: they stop nothing that ours can do', async () => {
    const { auth, give, list, post } = serve({ cookie: { oldName: 'jwt' }, authenticate: () => ({ subject: 'ada' }) })
    const twice = `jwt=${give()}; jwt=evil`
    const read = (answer: Awaited<ReturnType<typeof post>>) => answer.headers['set-cookie']!.split(';', 1)[0]!
    let ours = read(await post('/auth/login', {}, {}))
    const refresh = await post('/auth/refresh', { cookie: `${twice}; ${ours}` })
    assert.equal(refresh.status, 200)
    ours = read(refresh)
    const login = await post('/auth/login', { cookie: `${ours}; ${twice}` }, {})
    assert.equal((await auth.sessions('ada')).length, 1, 'the session that was there is replaced')
    ours = read(login)
    const logout = await post('/auth/logout', { cookie: `${ours}; ${twice}` })
    assert.deepEqual([logout.status, (await auth.sessions('ada')).length], [204, 0])
    const alone = await post('/auth/refresh', { cookie: twice })
    assert.deepEqual([alone.status, alone.json.code, list.size], [401, 'ERR_REFRESH_TOKEN_MISSING', 1])
    assert.equal((await post('/auth/logout', { cookie: twice })).status, 204)
  })

  for (const [where, options, name] of [
    ['the app’s own cookie', { cookie: { oldName: 'jwt' } }, 'jwt'],
    ['ours, whose name was kept', { cookie: { name: 'jwt' } }, '__Host-jwt'],
  ] as const) {
    test(`a sign-out that names a session ends no other, with an old token in ${where}`, async () => {
      const { auth, give, list, post } = serve(options)
      const [traded, unused] = [give(), give()]
      const { session } = (await post('/auth/refresh', { cookie: `${name}=${traded}` })).json
      const signOut = async (old: string, session: unknown) => {
        const { status, headers } = await post('/auth/logout', { cookie: `${name}=${old}` }, { session })
        return [status, headers['set-cookie'] !== undefined, (await auth.sessions('ada')).length]
      }
      for (const old of [traded, unused]) {
        assert.deepEqual(await signOut(old, 'AAAAAAAAAAAAAAAAAAAAAA'), [204, false, 1])
        assert.deepEqual(await signOut(old, 5), [400, false, 1])
      }
      assert.equal(list.size, 1, 'the token that was not traded is still good')
      assert.deepEqual(await signOut(traded, session.id), [204, true, 0])
    })
  }

  test('a page of another site cannot make the browser trade its old cookie', async () => {
    const { give, list, post } = serve({ cookie: { oldName: 'jwt' } })
    const headers = { cookie: `jwt=${give()}`, 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' }
    assert.equal((await post('/auth/refresh', headers)).status, 403)
    assert.equal((await post('/auth/logout', headers)).status, 403)
    assert.equal(list.size, 1)
  })

  test('without `oldName` no other cookie is looked at', async () => {
    const { give, post } = serve()
    assert.equal((await post('/auth/refresh', { cookie: `jwt=${give()}` })).status, 401)
  })
})
