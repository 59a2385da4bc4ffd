// An option that does not exist is an error that names it, in every function that takes options.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import mongoose from 'mongoose'
import { createExpressAuth, createRequireAuth as createExpressGuard } from '../../src/adapters/express.ts'
import { createFastifyAuth, createRequireAuth as createFastifyGuard } from '../../src/adapters/fastify.ts'
import { createFetchAuth, createRequireAuth as createFetchGuard } from '../../src/adapters/fetch.ts'
import { createHonoAuth, createRequireAuth as createHonoGuard } from '../../src/adapters/hono.ts'
import { createKoaAuth, createRequireAuth as createKoaGuard } from '../../src/adapters/koa.ts'
import { createNestAuth, createRequireAuth as createNestGuard, RequireAuth } from '../../src/adapters/nest.ts'
import { createNodeAuth, createRequireAuth as createNodeGuard } from '../../src/adapters/node.ts'
import { adoptJwt, adoptMongoose } from '../../src/adopt/index.ts'
import { createDaypass } from '../../src/index.ts'
import { createD1Store } from '../../src/stores/d1.ts'
import { createLibsqlStore } from '../../src/stores/libsql.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { createMysqlStore } from '../../src/stores/mysql.ts'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { createRedisStore } from '../../src/stores/redis.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { createVerifier } from '../../src/verify/index.ts'

const secret = 'a secret that the tests share, thirty-two bytes and more'
const base = { secret, issuer: 'https://id.test', store: createMemoryStore() }
const auth = createDaypass(base)
const verifier = createVerifier({ issuer: 'https://id.test' })
const model = mongoose.model('UnknownOptions', new mongoose.Schema({ refreshTokens: [String] }))
const notUsed = {} as never
const takesBatches = { batch() {} } as never

/** A program without types. */
type Options = any

const takers: Record<string, (options: Options) => unknown> = {
  createDaypass: (options) => createDaypass({ ...base, ...options }),
  'auth.issue': (options) => auth.issue('ada', options),
  'auth.refresh': async (options) => auth.refresh((await auth.issue('ada')).refreshToken, options),
  'auth.revoke': (options) => auth.revoke('AAAAAAAAAAAAAAAAAAAAAA', options),
  'auth.revokeToken': async (options) => auth.revokeToken((await auth.issue('ada')).refreshToken, options),
  'auth.revokeSubject': (options) => auth.revokeSubject('nobody', options),
  createExpressAuth: (options) => createExpressAuth(auth, options),
  createFastifyAuth: (options) => createFastifyAuth(auth, options),
  createHonoAuth: (options) => createHonoAuth(auth, options),
  createKoaAuth: (options) => createKoaAuth(auth, options),
  createNestAuth: (options) => createNestAuth(auth, options),
  createNodeAuth: (options) => createNodeAuth(auth, options),
  createFetchAuth: (options) => createFetchAuth(auth, options),
  'cookie of an adapter': (options) => createFetchAuth(auth, { cookie: options }),
  'paths of an adapter': (options) => createFetchAuth(auth, { paths: options }),
  'createRequireAuth of daypass/express': (options) => createExpressGuard(verifier, options),
  'createRequireAuth of daypass/fastify': (options) => createFastifyGuard(verifier, options),
  'createRequireAuth of daypass/hono': (options) => createHonoGuard(verifier, options),
  'createRequireAuth of daypass/koa': (options) => createKoaGuard(verifier, options),
  'createRequireAuth of daypass/nest': (options) => createNestGuard(verifier, options),
  'createRequireAuth of daypass/node': (options) => createNodeGuard(verifier, options),
  'createRequireAuth of daypass/fetch': (options) => createFetchGuard(verifier, options),
  'requireAuth of daypass/express': (options) => createExpressAuth(auth).requireAuth(options),
  'requireAuth of daypass/fastify': (options) => createFastifyAuth(auth).requireAuth(options),
  'requireAuth of daypass/hono': (options) => createHonoAuth(auth).requireAuth(options),
  'requireAuth of daypass/koa': (options) => createKoaAuth(auth).requireAuth(options),
  'requireAuth of daypass/nest': (options) => createNestAuth(auth).requireAuth(options),
  'RequireAuth of daypass/nest': (options) => RequireAuth(options),
  'requireAuth of daypass/node': (options) => createNodeAuth(auth).requireAuth(options),
  'requireAuth of daypass/fetch': (options) => createFetchAuth(auth).requireAuth(options),
  'requireAuth around a handler': (options) => createNodeAuth(auth).requireAuth(() => {}, options),
  createVerifier: (options) => createVerifier({ issuer: 'https://id.test', ...options }),
  createSqliteStore: (options) => createSqliteStore(':memory:', options),
  createLibsqlStore: (options) => createLibsqlStore(takesBatches, options),
  createD1Store: (options) => createD1Store(takesBatches, options),
  createMysqlStore: (options) => createMysqlStore(notUsed, options),
  createPostgresStore: (options) => createPostgresStore(notUsed, options),
  createRedisStore: (options) => createRedisStore(notUsed, options),
  createMongoStore: (options) => createMongoStore(notUsed, options),
  adoptJwt: (options) => adoptJwt({ secret, ...options }),
  adoptMongoose: (options) => adoptMongoose(model, options),
}

for (const [name, take] of Object.entries(takers)) {
  test(`${name}: an option that does not exist is named`, async () => {
    for (const [wrong, value] of Object.entries({ noSuchOption: 1, constructor: false, toString: null })) {
      await assert.rejects(
        async () => take({ [wrong]: value }),
        ({ code, message }: { code: string; message: string }) =>
          code === 'ERR_OPTION_INVALID' && message.includes(`${wrong}\` is not an option. The options are \``),
      )
    }
  })
}

test('an option that is undefined counts as not given', () => {
  createDaypass({ ...base, noSuchOption: undefined } as never)
  createFetchAuth(auth, { noSuchOption: undefined, cookie: { maxAge: undefined } } as never)
})

test('an option that is almost spelled right is named as it is spelled', () => {
  const spelled: [take: () => unknown, expected: RegExp][] = [
    [() => createFetchAuth(auth, { cookie: { samesite: 'lax' } } as never), /`cookie\.samesite` .* `cookie\.sameSite`/],
    [() => createFetchAuth(auth, { cookie: { same_site: 'lax' } } as never), /spelled `cookie\.sameSite`/],
    [() => createNodeAuth(auth).requireAuth({ scopes: 'reports:read' } as never), /`scopes` .* spelled `scope`/],
    [() => createNodeAuth(auth, { trustedProxy: [] } as never), /`trustedProxy` is not an option/],
    [() => createNodeAuth(auth, { origin: [] } as never), /`origin` is not an option\. It is spelled `origins`/],
    [() => createDaypass({ ...base, idletimeout: 5 } as never), /spelled `idleTimeout`/],
  ]
  for (const [take, message] of spelled) assert.throws(take, { code: 'ERR_OPTION_INVALID', message })
})

test('an option that belongs elsewhere: the message says where', () => {
  const advised: [options: object, expected: RegExp][] = [
    [{ cookie: { maxAge: 5 } }, /`cookie\.maxAge` is not an option\. .*`idleTimeout`/],
    [{ cookie: { expires: 5 } }, /`idleTimeout`/],
    [{ cookie: { secure: true } }, /always `Secure`/],
    [{ cookie: { httpOnly: true } }, /always `HttpOnly`/],
    [{ cookie: { path: '/' } }, /always `\/`/],
    [{ trustedProxies: ['10.0.0.1'] }, /`web\.routes\(request, \{ ip \}\)`/],
  ]
  for (const [options, message] of advised) {
    assert.throws(() => createFetchAuth(auth, options as never), { code: 'ERR_OPTION_INVALID', message })
  }
  const misplaced: [take: () => unknown, expected: RegExp][] = [
    [() => createDaypass({ ...base, authenticate: () => null } as never), /`createExpressAuth` and the other adapters/],
    [() => createDaypass({ ...base, expiresIn: '15m' } as never), /`accessTokenLifetime`/],
    [() => createExpressAuth(auth, { findSubject: () => null } as never), /`createDaypass` takes it/],
    [() => createExpressAuth(auth, { trustProxy: true } as never), /called `trustedProxies`/],
    [() => createExpressAuth(auth, { baseUrl: '/auth' } as never), /called `basePath`/],
    [() => createNodeAuth(auth).requireAuth({ role: 'admin' } as never), /`allow: \(\{ claims \}\)/],
  ]
  for (const [take, message] of misplaced) assert.throws(take, { code: 'ERR_OPTION_INVALID', message })
})

describe('a sign-in', () => {
  const errors: unknown[] = []
  const web = createFetchAuth(auth, { onError: (error) => errors.push(error) })
  const request = () =>
    new Request('https://id.test/login', { method: 'POST', headers: { 'sec-fetch-site': 'same-origin' } })

  for (const [name, person, options] of [
    ['of the person', { subject: 'grace', role: 'admin' }, {}],
    ['of the response', { subject: 'grace' }, { redirectTo: '/' }],
  ] as const) {
    test(`with an option ${name} that does not exist: 500, an error for onError, and no session`, async () => {
      errors.length = 0
      const answer = await web.signIn(request(), person as never, options as never)
      assert.equal(answer.status, 500)
      assert.equal(answer.headers.get('set-cookie'), null)
      assert.match(String(errors), /`(role|redirectTo)` is not an option/)
      assert.deepEqual(await auth.sessions('grace'), [])
    })
  }
})
