// An app's old refresh tokens are traded for sessions: each exactly once, and only valid ones.

import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, randomBytes, randomUUID, sign as signWith } from 'node:crypto'
import { describe, test } from 'node:test'
import { SignJWT } from 'jose'
import jwt from 'jsonwebtoken'
import { adoptJwt } from '../../src/adopt/jwt.ts'
import { adoptMongoose } from '../../src/adopt/mongoose.ts'
import type { Adopted, Adopter } from '../../src/core/api.ts'
import { createHttpAuth } from '../../src/http/http-auth.ts'
import type { HttpOptions } from '../../src/http/options.ts'
import type { HttpRequest } from '../../src/http/request.ts'
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

/** An adopter over a list of the app. */
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

/** A Daypass whose store and list have a different delay at each call. */
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
    test(`is traded for a session and removed from the list (${name})`, async () => {
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

    test(`sent again with its key gets the same token, however late, also after it was removed from the list (${name})`, async () => {
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

    test(`that is presented again later as a copy is a theft, and the session ends (${name})`, async () => {
      const { adopter, give } = createList()
      const { auth, time, types, events } = start({ adopt: adopter }, makeStore())
      const old = give()
      const { refreshToken } = await auth.refresh(old, { idempotencyKey: newKey() })
      time.advance(600)
      await assert.rejects(auth.refresh(old, { idempotencyKey: newKey() }), isRefused('ERR_REFRESH_TOKEN_REUSED'))
      await assert.rejects(auth.refresh(refreshToken), isRefused('ERR_SESSION_REVOKED'))
      assert.deepEqual(types(), ['adopted', 'reused', 'revoked'])
      // The event says which token was copied: the one before the session's first.
      const presented = events.flatMap((event) => (event.type === 'reused' ? [event.presentedGeneration] : []))
      assert.deepEqual(presented, [-1])
    })

    test(`that is traded 50 times at once begins one session (${name})`, async () => {
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

  test('without a key can be retried for a day, as any token, and not later', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter })
    const old = give()
    await auth.refresh(old)
    time.advance(20)
    assert.equal((await auth.refresh(old)).outcome, 'retried')
    time.advance(86_380)
    await assert.rejects(auth.refresh(old), isRefused('ERR_REFRESH_TOKEN_REUSED'))
  })

  test('that was never issued is rejected, and no session begins', async () => {
    const { adopter, asked } = createList()
    const forgotten: string[] = []
    const { auth, rows } = start({ adopt: { ...adopter, forget: (token) => void forgotten.push(token) } })
    await assert.rejects(auth.refresh(randomUUID()), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    assert.equal(asked.length, 1)
    assert.equal(await auth.revokeToken(randomUUID()), false)
    assert.deepEqual(forgotten, [], '`forget` is not called for an unknown token')
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
    assert.equal(asked.length, 0, 'the app is not called for our own tokens and for garbage')
    assert.equal(rows.length, 0)
  })

  test('may have 16 to 8,192 characters', async () => {
    const { adopter, list } = createList()
    const { auth } = start({ adopt: adopter })
    for (const old of ['x'.repeat(16), 'x'.repeat(8192)]) {
      list.set(old, 'ada')
      assert.equal((await auth.refresh(old)).outcome, 'adopted')
    }
  })

  test('has no sign-in time unless the app gives one', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter })
    const { accessToken } = await auth.refresh(give())
    assert.equal((await auth.verify(accessToken)).authTime, 0)
    const told = start({ adopt: { find: () => ({ subject: 'ada', authTime: time.now() - 5000 }), forget() {} } })
    assert.equal((await told.auth.refresh(randomUUID())).session.authTime, time.now() - 5000)
  })

  test('of an inactive account is rejected and kept', async () => {
    const { adopter, give, list } = createList()
    let active = false
    const { auth, rows } = start({ adopt: adopter, findSubject: () => (active ? {} : null) })
    const old = give()
    await assert.rejects(auth.refresh(old), isRefused('ERR_SUBJECT_INACTIVE'))
    assert.deepEqual([rows.length, list.size], [0, 1])
    active = true
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('of another client is rejected, and stays valid for its own client', async () => {
    const { auth } = start({ adopt: { find: () => ({ subject: 'ada', clientId: 'mobile' }), forget() {} } })
    const old = randomUUID()
    await assert.rejects(auth.refresh(old, { clientId: 'other' }), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    assert.equal((await auth.refresh(old, { clientId: 'mobile' })).outcome, 'adopted')
  })

  test('counts towards the maximum number of sessions', async () => {
    const { adopter, give } = createList()
    const { auth, time } = start({ adopt: adopter, maxSessionsPerSubject: 2 })
    for (let i = 0; i < 4; i++) {
      await auth.refresh(give())
      time.advance(1)
    }
    assert.equal((await auth.sessions('ada')).length, 2)
  })

  test('is traded once, even if the server’s secret is rotated in between', async () => {
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

  test('no part of the token is in the row', async () => {
    const { adopter, give } = createList()
    const store = createSqliteStore(':memory:')
    const { auth } = start({ adopt: adopter }, store)
    const old = give()
    const { session } = await auth.refresh(old)
    const row = await store.find(session.id)
    assert.equal(JSON.stringify(row).includes(old), false)
  })
})

test('concurrent copies of one trade begin one session, and none gets `invalid_grant`', async (t) => {
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

test('a trade that ends while another one waits for the app is found: the same token for the same key', async () => {
  const { adopter, give } = createList()
  const waits = [Promise.withResolvers<void>()]
  const slowest: Adopter = {
    ...adopter,
    async find(token, request) {
      await waits.shift()?.promise
      return adopter.find(token, request)
    },
  }
  const [wait] = waits
  const { auth } = start({ adopt: slowest })
  const old = give()
  const idempotencyKey = newKey()
  const first = auth.refresh(old, { idempotencyKey })
  await new Promise((resolve) => setImmediate(resolve))
  const second = await auth.refresh(old, { idempotencyKey })
  wait!.resolve()
  assert.deepEqual([second.outcome, (await first).outcome], ['adopted', 'replayed'])
  assert.equal((await first).refreshToken, second.refreshToken)
})

test('an error of Daypass that an adopter throws is passed on as it is', async () => {
  const adopt: Adopter = {
    find() {
      throw new DaypassError('ERR_STORE_UNAVAILABLE')
    },
    forget() {},
  }
  await assert.rejects(start({ adopt }).auth.refresh(randomUUID()), { code: 'ERR_STORE_UNAVAILABLE' })
})

test('a sign-in that replaces nothing does not call the adopter', async () => {
  const { adopter, asked } = createList()
  await start({ adopt: adopter }).auth.issue('ada')
  assert.deepEqual(asked, [])
})

test('the record of a trade has a subject of its own, so that no list of sessions grows', async () => {
  const { auth, time, rows, store } = start({ adopt: adoptJwt({ secret: oldSecret }) })
  await auth.refresh(sign(time))
  const [session, mark] = await Promise.all(rows.map((id) => store.find(id)))
  assert.deepEqual([session?.subject, mark?.subject], ['ada', `adopted ${mark?.id}`])
})

test('a refresh of an adopted session does not call the adopter', async () => {
  const { adopter, give, asked } = createList()
  const forgotten: string[] = []
  const { auth, events } = start({ adopt: { ...adopter, forget: (token) => void forgotten.push(token) } })
  const old = give()
  const { refreshToken } = await auth.refresh(old)
  await auth.refresh(refreshToken)
  assert.deepEqual([asked, forgotten], [[old], [old]])
  assert.equal('healed' in events[0]!, false, 'only a rotation can heal')
  assert.equal('healed' in events[1]!, true)
})

describe('when something is unavailable', () => {
  test('the app’s list: 503, no session begins, and the token stays valid', async () => {
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

  test('the app’s list: a copy of a traded token is still a theft', async () => {
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

  test('an external signer: 503, no session begins, the token stays valid; and one trade makes one signature', async () => {
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

  test('the list, when `forget` is called: the same refresh sent again removes the token', async () => {
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

  test('the list, when `forget` is called: signing out with the token removes it, also after the session ended', async () => {
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

  test('the store: 503, and the token stays valid', async () => {
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

  test('the store’s disk: its error is passed on, and the token stays valid', async () => {
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

  test('the response to the write: the row is found, and the outcome is right', async () => {
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

  test('the caller: no session begins', async () => {
    const { adopter, give, list } = createList()
    const { auth, rows } = start({ adopt: adopter })
    await assert.rejects(auth.refresh(give(), { signal: { aborted: true } }), { code: 'ERR_REQUEST_ABORTED' })
    assert.deepEqual([rows.length, list.size], [0, 1])
  })
})

describe('signing out', () => {
  test('with an old token that was never traded makes it invalid', async () => {
    const { adopter, give, list, asked } = createList()
    const { auth, types } = start({ adopt: adopter })
    const old = give()
    assert.equal(await auth.revokeToken(old), true)
    assert.equal(list.size, 0)
    await assert.rejects(auth.refresh(old), isRefused('ERR_SESSION_REVOKED'))
    assert.equal(await auth.revokeToken(old), false)
    assert.equal(asked.length, 1, 'the app is not called again about a known token')
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

  test('wins over a concurrent trade, in every interleaving', async (t) => {
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
  test('trades a token that jsonwebtoken signed with the old secret, once, with nothing stored', async () => {
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

  test('trades a token signed with an RSA key, by default RS256, given as PEM or KeyObject', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    for (const key of [publicKey, publicKey.export({ type: 'spki', format: 'pem' }) as string]) {
      const { auth, time } = start({ adopt: adoptJwt({ publicKey: key }) })
      assert.equal((await auth.refresh(sign(time, {}, { algorithm: 'RS256' }, privateKey))).outcome, 'adopted')
      const other = sign(time, {}, { algorithm: 'RS512' }, privateKey)
      await assert.rejects(auth.refresh(other), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    }
  })

  test('does not trade an expired token whose `exp` JSON.parse reads as another name (nodejs/node#63785)', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    const input = `${encode('{"alg":"HS256"}')}.${encode('{"sub":"ada","\\u0065xp":1000}')}`
    const token = `${input}.${createHmac('sha256', oldSecret).update(input).digest('base64url')}`
    for (const before of ['{}', '{"sub":"ada","\\\\u0":1}']) {
      JSON.parse(before)
      await assert.rejects(auth.refresh(token), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    }
    assert.ok(time.now() > 1_000_000)
  })

  test('trades a token without `typ` in its header', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const old = await new SignJWT({ sub: 'ada', exp: Math.floor(time.now() / 1000) + day })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(Buffer.from(oldSecret))
    assert.equal((await auth.refresh(old)).outcome, 'adopted')
  })

  test('does not trade a token again after its session’s row was pruned', async () => {
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

  test('a token that was signed out before it was traded stays invalid after the row was pruned', async () => {
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
    test(`every store accepts instants with a fraction and tokens that never expire: ${engine} (RFC 7519 §2)`, async () => {
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

  test('the record of a trade is deleted after the token expired', async () => {
    const { auth, time, rows, store } = start({ adopt: adoptJwt({ secret: oldSecret }), idleTimeout: day })
    const { refreshToken } = await auth.refresh(sign(time))
    assert.equal(rows.length, 2, 'the session and the record of the trade')
    for (const id of rows) assert.match(id, /^[\w-]{22}$/, 'the form of an id that every engine can store')
    await auth.revokeToken(refreshToken)
    time.advance(6 * day)
    await auth.prune()
    assert.equal((await Promise.all(rows.map((id) => store.find(id)))).filter(Boolean).length, 1)
    time.advance(3 * day)
    await auth.prune()
    assert.equal((await Promise.all(rows.map((id) => store.find(id)))).filter(Boolean).length, 0)
  })

  test('a lost response is replayed after the old token expired', async () => {
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    const old = sign(time, {}, { expiresIn: 60 })
    const idempotencyKey = newKey()
    const lost = await auth.refresh(old, { idempotencyKey })
    time.advance(3600)
    assert.equal((await auth.refresh(old, { idempotencyKey })).refreshToken, lost.refreshToken)
  })

  test('rejects a token that is not a refresh token of the app, without calling the app', async () => {
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

  test('a second signature on the same token is the same token (ECDSA has two for each)', async () => {
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

  test('checks issuer, audience, kind and time if configured', async () => {
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

  test('a token that never expires needs `until`', async () => {
    const forever = jwt.sign({ sub: 'ada' }, oldSecret)
    const { auth, rows } = start({ adopt: adoptJwt({ secret: oldSecret }) })
    await assert.rejects(auth.refresh(forever), { code: 'ERR_OPTION_INVALID' })
    assert.equal(rows.length, 0)
    const until = new Date(createFakeClock().now() + 30 * day * 1000)
    const bounded = start({ adopt: adoptJwt({ secret: oldSecret, until }) })
    assert.equal((await bounded.auth.refresh(forever)).outcome, 'adopted')
  })

  test('with a list: only tokens in it, and only of the same person', async () => {
    const { adopter, list } = createList()
    const { auth, time } = start({ adopt: adoptJwt({ secret: oldSecret, stored: adopter }) })
    const [kept, gone, other] = ['1', '2', '3'].map((jti) => sign(time, { jti })) as [string, string, string]
    const forever = jwt.sign({ sub: 'ada' }, oldSecret)
    list.set(kept, 'ada').set(other, 'eve').set(forever, 'ada')
    await assert.rejects(auth.refresh(gone), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    await assert.rejects(auth.refresh(other), isRefused('ERR_REFRESH_TOKEN_INVALID'))
    const { session } = await auth.refresh(kept)
    assert.deepEqual([session.claims, list.has(kept)], [{ role: 'user' }, false])
    // The list removes the token, so no record of the trade is needed.
    assert.equal((await auth.refresh(forever)).outcome, 'adopted')
    assert.equal(list.has(forever), false)
  })

  test('a token that expires while the app looks it up is still traded, once', async () => {
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

  test('a weak secret is accepted only with `allowWeakSecret`; an empty, missing, second or unsuitable key never', () => {
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

test('adoptMongoose finds the user by the token and removes it from the array', async () => {
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

test('adoptMongoose looks in `refreshTokens` by default; an unknown token, or one of a deleted user, is rejected', async () => {
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

test('an adopter without `forget` must give an `expiresAt` in the future, or its tokens are not traded', async () => {
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
    const web = createHttpAuth(auth, { onError: () => {}, ...options })
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
      const response = (await web.routes(request))!
      const setCookie = response.headers['set-cookie']?.[0]
      return { ...response, setCookie, json: response.body && JSON.parse(response.body) }
    }
    return { auth, give, list, post }
  }

  test('an old token in the body gets its new tokens in the body', async () => {
    const { give, post } = serve()
    const answer = await post('/auth/refresh', { 'idempotency-key': `"${newKey()}"` }, { refreshToken: give() })
    assert.equal(answer.status, 200)
    assert.match(answer.json.refreshToken, /^dpr_/)
  })

  test('an old token in the app’s own cookie gets our cookie; sign-out makes both invalid', async () => {
    const { auth, give, list, post } = serve({ cookie: { oldName: 'jwt' } })
    const old = give()
    const answer = await post('/auth/refresh', { cookie: `jwt=${old}` })
    assert.equal(answer.status, 200)
    const ours = /^__Host-daypass=[^;]+/.exec(answer.setCookie!)![0]
    assert.equal(list.size, 0)
    // The old cookie stays in the browser; ours takes precedence.
    const next = await post('/auth/refresh', { cookie: `jwt=${old}; ${ours}` })
    assert.equal(next.status, 200)
    const unused = give()
    assert.equal((await post('/auth/logout', { cookie: `jwt=${unused}; ${ours}` })).status, 204)
    for (const cookie of [ours, `jwt=${old}`, `jwt=${unused}`]) {
      assert.equal((await post('/auth/refresh', { cookie })).status, 401, cookie)
    }
    assert.deepEqual(await auth.sessions('ada'), [])
  })

  test('two old cookies with the same name are ignored, and our own cookie still works', async () => {
    const { auth, give, list, post } = serve({ cookie: { oldName: 'jwt' }, authenticate: () => ({ subject: 'ada' }) })
    const twice = `jwt=${give()}; jwt=evil`
    const read = (answer: Awaited<ReturnType<typeof post>>) => answer.setCookie!.split(';', 1)[0]!
    let ours = read(await post('/auth/login', {}, {}))
    const refresh = await post('/auth/refresh', { cookie: `${twice}; ${ours}` })
    assert.equal(refresh.status, 200)
    ours = read(refresh)
    const login = await post('/auth/login', { cookie: `${ours}; ${twice}` }, {})
    assert.equal((await auth.sessions('ada')).length, 1, 'the previous session is replaced')
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
    test(`a sign-out with a session id ends no other session, with an old token in ${where}`, async () => {
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
      assert.equal(list.size, 1, 'the token that was not traded is still valid')
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

  test('without `oldName` no other cookie is read', async () => {
    const { give, post } = serve()
    assert.equal((await post('/auth/refresh', { cookie: `jwt=${give()}` })).status, 401)
  })
})
