// Options, subjects and claims are checked when they are given, not when they are used.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDaypass } from '../../src/core/daypass.ts'
import type { ClaimsSchema, DaypassOptions } from '../../src/core/options.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createRig, onEachStore, refused } from './setup.ts'

const good = () => ({
  secret: 'a text that is a secret, and long enough to be one',
  issuer: 'https://id.example',
  store: createMemoryStore(),
})

test('invalid options are rejected at the start, each with a message that names it', () => {
  const wrong: [string, Partial<Record<keyof DaypassOptions, unknown>>][] = [
    ['issuer', { issuer: '' }],
    ['issuer', { issuer: undefined }],
    ['issuer', { issuer: ['https://id.example'] }],
    ['store', { store: undefined }],
    ['store', { store: {} }],
    ['audience', { audience: '' }],
    ['audience', { audience: ['a', 'b'] }],
    ['audience', { audience: null }],
    ['clientId', { clientId: '' }],
    ['clientId', { clientId: 7 }],
    ['clientId', { clientId: ['app'] }],
    ['algorithm', { algorithm: 'none' }],
    ['algorithm', { algorithm: 'RS256' }],
    ['accessTokenLifetime', { accessTokenLifetime: 0 }],
    ['accessTokenLifetime', { accessTokenLifetime: '900' }],
    ['accessTokenLifetime', { accessTokenLifetime: Number.POSITIVE_INFINITY }],
    ['accessTokenLifetime', { accessTokenLifetime: 86_401 }],
    ['whenStoreIsAway', { whenStoreIsAway: 'allow' }],
    ['idleTimeout', { idleTimeout: -1 }],
    ['idleTimeout', { idleTimeout: Number.NaN }],
    ['idleTimeout', { idleTimeout: 100, absoluteTimeout: 50 }],
    ['absoluteTimeout', { absoluteTimeout: 1e30 }],
    ['reuseInterval', { reuseInterval: -1 }],
    ['accessTokenLifetime', { idleTimeout: 900, accessTokenLifetime: 900 }],
    ['accessTokenLifetime', { idleTimeout: 600, accessTokenLifetime: 900 }],
    ['secret', { secret: `${'a1b2c3d4'.repeat(6)},${'e5f6a7b8'.repeat(6)}` }],
    ['maxSessionsPerSubject', { maxSessionsPerSubject: 0 }],
    ['maxSessionsPerSubject', { maxSessionsPerSubject: Number.NaN }],
    ['maxSessionsPerSubject', { maxSessionsPerSubject: '100' }],
    ['issuer', { issuer: 'https://id.example\0' }],
    ['retryInterval', { retryInterval: -1 }],
    ['retryInterval', { retryInterval: '30' }],
    ['adopt', { adopt: null }],
    ['adopt', { adopt: {} }],
    ['adopt', { adopt: () => null }],
    ['claims', { claims: null }],
    ['claims', { claims: {} }],
    ['claims', { claims: { '~standard': null } }],
    ['claims', { claims: { '~standard': {} } }],
    ['signingKeys', { signingKeys: null }],
    ['signingKeys', { signingKeys: 'secret' }],
    ['signingKeys', { signingKeys: ['secret', 'another'] }],
    ['signingKeys', { signingKeys: ['another', 'secret'] }],
    ['findSubject', { findSubject: 'findSubject' }],
    ['onEvent', { onEvent: console }],
    ['onWarning', { onWarning: true }],
    ['clock', { clock: 7 }],
    ['random', { random: new Uint8Array(32) }],
  ]
  for (const [name, options] of wrong) {
    assert.throws(
      () => createDaypass({ ...good(), ...options } as DaypassOptions),
      (error) => {
        assert.ok(isDaypassError(error, 'ERR_OPTION_INVALID'), name)
        assert.ok(error.message.includes(`\`${name}\``), `${error.message} does not name ${name}`)
        return true
      },
    )
  }
})

test('a missing issuer is rejected with an example of one', () => {
  for (const issuer of ['', undefined, null, 7]) {
    assert.throws(() => createDaypass({ ...good(), issuer: issuer as string }), {
      code: 'ERR_OPTION_INVALID',
      message: /Give your server's address, such as 'https:\/\/example\.com'\.$/,
    })
  }
})

test('without options the error shows the call', () => {
  for (const given of [undefined, null, 'a secret', []]) {
    assert.throws(
      () => createDaypass(given as never),
      (error) =>
        isDaypassError(error, 'ERR_OPTION_INVALID') &&
        /createDaypass\(\{ secret, issuer, store \}\)/.test(error.message),
    )
  }
})

test('an option of an adapter or of another library is rejected, and the error says where it belongs', () => {
  const ofAdapters = ['authenticate', 'basePath', 'cookie', 'origins', 'paths', 'routes', 'transport', 'trustedProxies']
  const advice = {
    ...Object.fromEntries(ofAdapters.map((name) => [name, '`createExpressAuth` and the other adapters take it.'])),
    findUser: 'It is called `findSubject`.',
    expiresIn: 'Set `accessTokenLifetime`, in seconds.',
    refreshTokenLifetime: 'Set `idleTimeout` and `absoluteTimeout`, in seconds.',
  }
  for (const [name, sentence] of Object.entries(advice)) {
    assert.throws(
      () => createDaypass({ ...good(), [name]: '1' } as never),
      (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && error.message.includes(sentence),
      name,
    )
  }
})

test('the minimum and maximum values are accepted', () => {
  const century = 3_155_760_000
  const allowed: Partial<DaypassOptions>[] = [
    { accessTokenLifetime: 59, idleTimeout: 60, absoluteTimeout: 60 },
    { accessTokenLifetime: 1, idleTimeout: 2, absoluteTimeout: 2, reuseInterval: 0 },
    { accessTokenLifetime: 86_400 },
    { absoluteTimeout: century, idleTimeout: century },
    { maxSessionsPerSubject: 1 },
  ]
  for (const options of allowed) assert.ok(createDaypass({ ...good(), ...options }))
})

test('an idle timeout longer than 30 days makes the absolute timeout as long', async () => {
  const auth = createDaypass({ ...good(), idleTimeout: 90 * 86_400 })
  const { session } = await auth.issue('user-1')
  assert.equal(session.expiresAt - session.createdAt, 90 * 86_400_000)
})

test('the default audience is the issuer', async () => {
  const auth = createDaypass(good())
  assert.equal(auth.audience, 'https://id.example')
  assert.ok(await auth.verify((await auth.issue('user-1')).accessToken))
})

onEachStore('subjects are strings of 1 to 255 characters that every engine keeps distinct', {}, async ({ auth }) => {
  const wrong = ['', 'x'.repeat(256), 'a\0b', '\ud800', 'x\udfff', undefined, null, 7, {}, ['user-1'], { $ne: null }]
  for (const subject of wrong) await refused(auth.issue(subject as string), 'ERR_OPTION_INVALID')
  for (const subject of ['x', 'x'.repeat(255), '🦊', "'; --", ' ', 'user-1\n']) {
    const { accessToken } = await auth.issue(subject)
    assert.equal((await auth.verify(accessToken)).subject, subject)
    assert.equal((await auth.sessions(subject)).length, 1)
  }
})

onEachStore(
  'claims go into every access token of the session as they were, and come back in the session',
  {},
  async (rig) => {
    const { auth } = rig
    const claims = { role: 'admin', teams: ['a', 'ü🦊'], nested: { n: 1.5, yes: true, nothing: null }, '': 0 }
    const first = await auth.issue('user-1', { claims })
    const second = await auth.refresh(first.refreshToken)
    for (const tokens of [first, second]) {
      assert.deepEqual((await auth.verify(tokens.accessToken)).claims, claims)
      assert.deepEqual(tokens.session.claims, claims)
    }
  },
)

onEachStore(
  'claims become plain JSON at once: dates become strings, undefined members are removed',
  {},
  async ({ auth }) => {
    const { session } = await auth.issue('user-1', { claims: { since: new Date(0), gone: undefined, kept: null } })
    assert.deepEqual(session.claims, { since: '1970-01-01T00:00:00.000Z', kept: null })
  },
)

test('claims with names of the protocol are rejected', async () => {
  const { auth } = createRig(createMemoryStore())
  for (const name of [
    'iss',
    'sub',
    'aud',
    'exp',
    'nbf',
    'iat',
    'jti',
    'sid',
    'client_id',
    'scope',
    'auth_time',
    'amr',
    'acr',
    'cnf',
    'act',
  ]) {
    await refused(auth.issue('user-1', { claims: { [name]: 'x' } }), 'ERR_CLAIMS_INVALID')
  }
  await refused(auth.issue('user-1', { claims: JSON.parse('{"__proto__":{"admin":true}}') }), 'ERR_CLAIMS_INVALID')
})

test('claims that no verifier would accept are rejected at the sign-in, not at every later request', async () => {
  const { auth } = createRig(createMemoryStore())
  const deep = (levels: number): unknown => (levels === 0 ? 1 : { d: deep(levels - 1) })
  await refused(auth.issue('user-1', { claims: { d: deep(40) } }), 'ERR_CLAIMS_INVALID')
  await refused(auth.issue('user-1', { claims: { d: JSON.parse('{"__proto__":1}') } }), 'ERR_CLAIMS_INVALID')
  // The deepest accepted nesting is verified.
  for (let levels = 25; levels < 40; levels++) {
    const tokens = await auth.issue('user-1', { claims: { d: deep(levels) } }).catch(() => null)
    if (tokens !== null) assert.ok(await auth.verify(tokens.accessToken), `${levels} levels`)
    else assert.ok(levels > 28)
  }
})

test('claims that are too big, or not a plain object, are rejected', async () => {
  const { auth } = createRig(createMemoryStore())
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  const wrong = [{ x: 'x'.repeat(4096) }, [], ['a'], 'text', 7, { big: 7n }, cycle, () => {}]
  for (const claims of wrong) {
    await refused(auth.issue('user-1', { claims: claims as never }), 'ERR_CLAIMS_INVALID')
  }
  // The reason is in the cause, for the log.
  await assert.rejects(auth.issue('user-1', { claims: cycle }), (error: Error) => error.cause instanceof TypeError)
  // 4 kB are accepted, and the token stays within the limit of a verifier.
  const { accessToken } = await auth.issue('user-1', { claims: { x: 'x'.repeat(4096 - 8) } })
  assert.ok(await auth.verify(accessToken))
  // The limit counts bytes, not characters.
  await refused(auth.issue('user-1', { claims: { x: '字'.repeat(1400) } }), 'ERR_CLAIMS_INVALID')
  assert.ok(await auth.verify((await auth.issue('user-1', { claims: { x: '字'.repeat(1360) } })).accessToken))
})

interface Profile {
  role: 'admin' | 'user'
  level: number
}

/** A Standard Schema made by hand, as Zod or Valibot make one. */
const profile: ClaimsSchema<Profile> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    async validate(value) {
      const { role, level } = value as Record<string, unknown>
      if (role !== 'admin' && role !== 'user') return { issues: [{ message: 'role must be admin or user' }] }
      // A schema may transform its input.
      return { value: { role, level: Number(level ?? 1) } }
    },
  },
}

test('a schema whose output is not a plain object is rejected, as such claims are', async () => {
  for (const value of [null, undefined, [], 'text']) {
    const claims = { '~standard': { version: 1, vendor: 'test', validate: () => ({ value }) } } as ClaimsSchema<any>
    await refused(createDaypass({ ...good(), claims }).issue('user-1', { claims: {} }), 'ERR_CLAIMS_INVALID')
  }
})

test('a Standard Schema checks the claims, and its output goes into the token', async () => {
  const auth = createDaypass({ ...good(), claims: profile })
  const { accessToken } = await auth.issue('user-1', { claims: { role: 'admin', level: '3' as unknown as number } })
  const { claims } = await auth.verify(accessToken)
  assert.deepEqual(claims, { role: 'admin', level: 3 })
  await assert.rejects(auth.issue('user-1', { claims: { role: 'root' as 'admin', level: 1 } }), (error) => {
    assert.ok(isDaypassError(error, 'ERR_CLAIMS_INVALID'))
    assert.match(error.message, /role must be admin or user/)
    return true
  })
  assert.equal((await auth.sessions('user-1')).length, 1, 'rejected claims made no session')
})

test('all issues of a schema are in the error', async () => {
  const issues = [{ message: 'role is missing' }, { message: 'level is missing' }]
  const claims: ClaimsSchema<any> = { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues }) } }
  await assert.rejects(createDaypass({ ...good(), claims }).issue('ada', { claims: {} }), {
    code: 'ERR_CLAIMS_INVALID',
    message: 'The claims do not fit their schema: role is missing; level is missing',
  })
})

test('a sign-in without claims: `findSubject` provides them, and without it the schema decides', async () => {
  const findSubject = () => ({ claims: { role: 'admin' as const, level: 2 } })
  const { session } = await createDaypass({ ...good(), claims: profile, findSubject }).issue('ada')
  assert.deepEqual(session.claims, { role: 'admin', level: 2 })
  const alone = createDaypass<any>({ ...good(), claims: profile })
  await refused(alone.issue('ada'), 'ERR_CLAIMS_INVALID')
})

test('the subject of a sign-in is named in the error', async () => {
  await assert.rejects(createDaypass(good()).issue(7 as never), {
    code: 'ERR_OPTION_INVALID',
    message: /^`subject` is/,
  })
})

test('the verifier warns through `onWarning`, too', async () => {
  const warnings: string[] = []
  const options = good()
  const { accessToken } = await createDaypass({ ...options, audience: 'https://api.example' }).issue('ada')
  const auth = createDaypass({ ...options, onWarning: ({ code }) => warnings.push(code) })
  await refused(auth.verify(accessToken), 'ERR_ACCESS_TOKEN_INVALID')
  assert.deepEqual(warnings, ['DAYPASS_TOKEN_FOREIGN'])
})

test('claims are typed, by parameter or by schema: this file compiles only if they are', async () => {
  const typed = createDaypass<Profile>(good())
  const bySchema = createDaypass({ ...good(), claims: profile })
  const untyped = createDaypass(good())
  const optional = createDaypass<{ nickname?: string }>(good())
  const compiles = async () => {
    const { accessToken, session } = await typed.issue('user-1', { claims: { role: 'user', level: 1 } })
    const role: 'admin' | 'user' = session.claims.role
    const { claims } = await typed.verify(accessToken)
    const level: number = claims.level
    const same: Profile = (await bySchema.issue('user-1', { claims: { role: 'user', level: 1 } })).session.claims
    await untyped.issue('user-1')
    await untyped.issue('user-1', { claims: { anything: [1] } })
    await optional.issue('user-1')
    await optional.issue('user-1', { claims: { nickname: 'Zoë' } })
    return [role, level, same]
  }
  const doesNotCompile = async () => {
    // @ts-expect-error the claims have required members
    await typed.issue('user-1')
    // @ts-expect-error also if other options are given
    await typed.issue('user-1', { scope: 'read' })
    // @ts-expect-error an unknown role
    await typed.issue('user-1', { claims: { role: 'root', level: 1 } })
    // @ts-expect-error a missing member
    await bySchema.issue('user-1', { claims: { role: 'user' } })
    // @ts-expect-error an unknown member
    ;(await typed.verify('')).claims.nickname
    // @ts-expect-error claims of a verified token are shared, and read-only
    ;(await typed.verify('')).claims.role = 'admin'
    // @ts-expect-error a number is not a nickname
    await optional.issue('user-1', { claims: { nickname: 7 } })
  }
  assert.deepEqual(await compiles(), ['user', 1, { role: 'user', level: 1 }])
  assert.equal(typeof doesNotCompile, 'function')
})

test('the name of an option in an error is on one line, and cut', () => {
  for (const name of ['a\nerror: forged', 'a\u2028b', 'a\u0085b', 'a\u009b31mb', 'x'.repeat(10_000)]) {
    for (const options of [{ [name]: 1 }, { cookie: 1, [name]: name }]) {
      assert.throws(
        () => createDaypass({ ...options, secret: 's', issuer: 'x', store: createMemoryStore() } as never),
        ({ code, message }: Error & { code?: string }) => {
          assert.equal(code, 'ERR_OPTION_INVALID')
          assert.doesNotMatch(message, /[\p{Cc}\u2028\u2029]|x{100}/u)
          return true
        },
      )
    }
  }
})
