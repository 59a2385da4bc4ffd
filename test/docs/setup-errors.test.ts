// Mistakes of the set-up, as a new user makes them in JavaScript: each error names the option, says what was given, and says
// what to write instead. No secret is in it.

import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { promisify } from 'node:util'
import axios from 'axios'
import express from 'express'
import mongoose from 'mongoose'
import { createExpressAuth, createRequireAuth as createExpressGuard } from '../../src/adapters/express.ts'
import { createFastifyAuth, createRequireAuth as createFastifyGuard } from '../../src/adapters/fastify.ts'
import { createFetchAuth, createRequireAuth as createFetchGuard } from '../../src/adapters/fetch.ts'
import { createNodeAuth, createRequireAuth as createNodeGuard } from '../../src/adapters/node.ts'
import { adoptJwt, adoptMongoose } from '../../src/adopt/index.ts'
import { attachDaypass } from '../../src/client/axios.ts'
import { createFileStorage } from '../../src/client/file-storage.ts'
import { createClient, DaypassClientError } from '../../src/client/index.ts'
import { useSession } from '../../src/client/react.ts'
import { openSocket, streamEvents } from '../../src/client/streams.ts'
import { createDaypass, DaypassError, type Warning } from '../../src/index.ts'
import { createD1Store } from '../../src/stores/d1.ts'
import { createLibsqlStore } from '../../src/stores/libsql.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import { createMysqlStore } from '../../src/stores/mysql.ts'
import { createPostgresStore } from '../../src/stores/postgres.ts'
import { createRedisStore } from '../../src/stores/redis.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { call, listen, ownPage } from '../http/server.ts'

/** A function as JavaScript calls it: with anything. */
type Any = any
const js = (create: unknown) => create as (...given: Any[]) => Any

const root = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'daypass-setup-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** Nothing that contains this may be in an error. */
const planted = 'hunter2'
const address = `postgres://app:${planted}@db.example.com/app`
const secret = randomBytes(48).toString('base64')
const pem = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
const base = () => ({ secret, issuer: 'https://id.example.com', store: createMemoryStore() })
const auth = createDaypass(base())
const User = mongoose.model('SetupUser', new mongoose.Schema({ refreshTokens: [String] }))
const daypass = (options: object) => js(createDaypass)({ ...base(), ...options })
const web = (options: Any) => js(createNodeAuth)(auth, options)
const client = (options: object) => js(createClient)({ baseUrl: 'https://api.example.com/auth', ...options })

/** The mistake, and its error: the code if it is not `ERR_OPTION_INVALID`, and the parts of the message. */
const mistakes: [mistake: string, run: () => unknown, ...says: (RegExp | 'ERR_KEY_WEAK')[]][] = [
  ['createDaypass()', () => js(createDaypass)(), /options are missing/, /createDaypass\(\{ secret, issuer, store \}\)/],
  ["createDaypass('secret')", () => js(createDaypass)(planted), /options are a string/],
  ['no secret', () => daypass({ secret: undefined }), 'ERR_KEY_WEAK', /`secret` is missing/, /openssl rand -base64 48/],
  ['an empty secret', () => daypass({ secret: '' }), 'ERR_KEY_WEAK', /`secret` is empty/, /DAYPASS_SECRET/],
  [
    'a comma too many in a list of secrets',
    () => daypass({ secret: `${secret},`.split(',') }),
    'ERR_KEY_WEAK',
    /Entry 2 of `secret` is empty/,
    /DAYPASS_SECRET/,
  ],
  [
    'a secret of a list that is not set',
    () => daypass({ secret: [undefined, secret] }),
    'ERR_KEY_WEAK',
    /Entry 1 of `secret` is missing/,
  ],
  ['a short secret in a list', () => daypass({ secret: [secret, planted] }), 'ERR_KEY_WEAK', /Entry 2 .* has 7 bytes/],
  ['a short secret', () => daypass({ secret: planted }), 'ERR_KEY_WEAK', /`secret` has 7 bytes/, /openssl rand/],
  [
    'a secret that is long and not random',
    () => daypass({ secret: 'x'.repeat(48) }),
    'ERR_KEY_WEAK',
    /48 bytes, but only 1 different/,
    /not random/,
    /openssl rand -base64 48/,
  ],
  [
    'a secret of another type',
    () => daypass({ secret: { key: planted } }),
    'ERR_KEY_WEAK',
    /neither a string nor bytes/,
  ],
  ['secrets in one string', () => daypass({ secret: `${secret},${secret}` }), /`secret` looks like several/, /split/],
  ['no issuer', () => daypass({ issuer: undefined }), /`issuer` is missing/, /'https:\/\/example\.com'/],
  ['a store that is an address', () => daypass({ store: address }), /`store` is a string/, /createSqliteStore\('/],
  ['a store that is not awaited', () => daypass({ store: Promise.resolve() }), /`store` is a Promise/],
  ['a duration as a string', () => daypass({ idleTimeout: '7d' }), /`idleTimeout` is '7d'/, /number of seconds/],
  ['a misspelt algorithm', () => daypass({ algorithm: 'ES256' }), /`algorithm` is 'ES256'/, /`signingKeys`/],
  [
    'a signing key that is not set',
    () => daypass({ signingKeys: ['secret', { algorithm: 'ES256', privateKey: undefined }] }),
    /`signingKeys\[1\]\.privateKey` is missing/,
    /PEM text/,
  ],
  [
    'an empty signing key',
    () => daypass({ signingKeys: [{ algorithm: 'ES256', privateKey: '' }] }),
    /`signingKeys\[0\]\.privateKey` is missing/,
  ],
  [
    'a PEM text of an .env file without quotes',
    () => daypass({ signingKeys: [{ algorithm: 'EdDSA', privateKey: pem.replaceAll('\n', '\\n') }] }),
    /`signingKeys\[0\]\.privateKey` cannot be read/,
    /\.replaceAll\('\\\\n', '\\n'\)/,
  ],
  [
    'a signing key that is a public one',
    () => daypass({ signingKeys: [{ algorithm: 'EdDSA', privateKey: createPublicKey(pem) }] }),
    /`signingKeys\[0\]\.privateKey` is a PublicKeyObject/,
    /private key/,
  ],
  [
    'a signing key without an algorithm',
    () => daypass({ signingKeys: [{ privateKey: pem }] }),
    /`signingKeys\[0\]\.algorithm` is missing/,
    /'ES256'/,
  ],
  [
    'a signing key without a key',
    () => daypass({ signingKeys: [{ algorithm: 'ES256' }] }),
    /`signingKeys\[0\]\.privateKey` is missing/,
  ],
  [
    'a signing key elsewhere, without `sign`',
    () => daypass({ signingKeys: [{ algorithm: 'EdDSA', publicKey: createPublicKey(pem) }] }),
    /`signingKeys\[0\]\.sign` is missing/,
  ],
  [
    'an HS256 key that is not set',
    () => daypass({ signingKeys: [{ algorithm: 'HS256', secretKey: undefined }] }),
    /`signingKeys\[0\]\.secretKey` is missing/,
    /32 bytes/,
  ],
  ['findSubject called', () => daypass({ findSubject: {} }), /`findSubject` is an object/, /function/],

  ['trustedProxies: true', () => web({ trustedProxies: true }), /`trustedProxies` is true/, /\['10\.0\.0\.0\/8'\]/],
  ['trustedProxies: 1', () => web({ trustedProxies: 1 }), /`trustedProxies` is 1\./, /list/],
  ["trustedProxies: '10.0.0.1'", () => web({ trustedProxies: '10.0.0.1' }), /is '10\.0\.0\.1'/, /list/],
  [
    "trustedProxies: ['loopback']",
    () => web({ trustedProxies: ['loopback'] }),
    /is 'loopback'/,
    /\['10\.0\.0\.0\/8'\]/,
  ],
  ["origins: 'http://…'", () => web({ origins: 'http://a.test' }), /`origins` is 'http:\/\/a\.test'/, /list: exact/],
  ["origins: ['*']", () => web({ origins: ['*'] }), /`origins` is '\*'/, /\['https:\/\/app\.example\.com'\]/],
  ['an origin with a slash', () => web({ origins: ['https://a.test/'] }), /'https:\/\/a\.test\/'/, /without a path/],
  ['a transport that is none', () => web({ transport: 'cookies' }), /`transport` is 'cookies'/, /'cookie' or 'body'/],
  ['a base path without a slash', () => web({ basePath: 'auth' }), /`basePath` is 'auth'/, /'\/auth'/],
  ['a base path of a slash', () => web({ basePath: '/' }), /`basePath` is '\/'/, /'' for the root/],
  [
    'a path of a route',
    () => web({ paths: { login: '/login/' } }),
    /`paths\.login` is '\/login\/'/,
    /'login' .*'\/login'/,
  ],
  ['routes that are no routes', () => web({ routes: [null] }), /`routes\[0\]` is not a route/],
  ['authenticate that is no function', () => web({ authenticate: true }), /`authenticate` is true/],
  ['an adapter without a Daypass', () => js(createExpressAuth)(), /`auth` is missing/, /createDaypass\(\)/],
  ['a Daypass among the options', () => js(createFastifyAuth)({ auth }), /`auth` is an object/, /first/],
  [
    'a guard without a verifier',
    () => js(createExpressGuard)(),
    /`verifier` is missing/,
    /createVerifier\(\{ issuer \}\)/,
  ],

  ['createVerifier()', () => js(createVerifier)(), /options are missing/, /createVerifier\(\{ issuer:/],
  [
    "createVerifier({ issuer: 'myapp' })",
    () => js(createVerifier)({ issuer: 'myapp' }),
    /`issuer` is 'myapp'/,
    /no address/,
    /`jwks`.*\/\.well-known\/jwks\.json/,
  ],
  ['an issuer without a scheme', () => js(createVerifier)({ issuer: 'localhost:3000' }), /'localhost:3000'/, /`jwks`/],
  ['jwks that is no address', () => js(createVerifier)({ issuer: 'a', jwks: '/jwks' }), /`jwks` is '\/jwks'/, /https:/],
  ['a key set without keys', () => js(createVerifier)({ issuer: 'a', jwks: { keys: [] } }), /`jwks\.keys`/],

  ["createSqliteStore('sqlite:…')", () => js(createSqliteStore)('sqlite:./x.db'), /'sqlite:…'/, /path of a file/],
  ['an address of another engine', () => js(createSqliteStore)(address), /'postgres:…'/, /'\.\/data\/daypass\.db'/],
  ["createSqliteStore('~/…')", () => js(createSqliteStore)('~/x.db'), /'~\/x\.db'/, /homedir\(\)/],
  ["createFileStorage('~/…')", () => createFileStorage('~/x.json'), /path of a file/, /without ~/],
  ["createFileStorage('file:…')", () => createFileStorage('file:///x.json'), /without a scheme/],
  ['createSqliteStore()', () => js(createSqliteStore)(), /`database` is missing/, /'\.\/data\/daypass\.db'/],
  ['a folder', () => js(createSqliteStore)(folder), /`database` is '.*daypass-setup/, /is a folder/, /daypass\.db'/],
  ['a folder that is not there', () => js(createSqliteStore)('./data/'), /is '\.\/data\/'/, /is a folder/],
  ['an empty path', () => js(createSqliteStore)(''), /`database` is ''/],
  ['options of another library', () => js(createSqliteStore)({ filename: 'a.db' }), /`database` is an object/],
  ['a database of another library', () => js(createSqliteStore)({ prepare() {} }), /`database` is .*node:sqlite/],
  ['a prefix that is none', () => js(createSqliteStore)(':memory:', { prefix: 'My App' }), /`prefix` is 'My App'/],
  ['a prefix alone', () => js(createSqliteStore)(':memory:', 'app'), /options are a string/, /\{ prefix:/],
  ['createPostgresStore()', () => js(createPostgresStore)(), /`client` is missing/, /new pg\.Pool/],
  ['an address of PostgreSQL', () => js(createPostgresStore)(address), /`client` is a string/, /new pg\.Pool/],
  ['createLibsqlStore()', () => js(createLibsqlStore)(), /`client` is missing/, /createClient\(\{ url \}\)/],
  ['an address of Turso', () => js(createLibsqlStore)(address), /`client` is a string/, /createClient\(\{ url \}\)/],
  ['createD1Store()', () => js(createD1Store)(), /`database` is missing/, /env\.DB/],
  ['a name of a binding of D1', () => js(createD1Store)('DB'), /`database` is a string/, /env\.DB/],
  ['createMysqlStore()', () => js(createMysqlStore)(), /`client` is missing/, /mysql\.createPool/],
  ['an address of MySQL', () => js(createMysqlStore)(address), /`client` is a string/, /mysql\.createPool/],
  ['createRedisStore()', () => js(createRedisStore)(), /`client` is missing/, /`ioredis`/],
  ['an address of Redis', () => js(createRedisStore)(address), /`client` is a string/, /`redis` 5/],
  ['createMongoStore()', () => js(createMongoStore)(), /`source` is missing/, /mongoose\.connection/],
  ['a timeout as a string', () => js(createPostgresStore)({ query() {} }, { timeout: '5s' }), /`timeout` is '5s'/],

  ['adoptJwt()', () => js(adoptJwt)(), /options are missing/, /adoptJwt\(\{ secret:/],
  ['adoptJwt without a key', () => js(adoptJwt)({ secret: undefined }), /`secret` or a `publicKey`/],
  ['a date as a string', () => js(adoptJwt)({ secret, until: '2027-01-31' }), /`until` is '2027-01-31'/, /new Date/],
  ['adoptMongoose()', () => js(adoptMongoose)(), /`model` is missing/, /mongoose\.model\(/],

  ['createClient()', () => js(createClient)(), /baseUrl is missing/, /createClient\(\{ baseUrl: /],
  ["createClient('/auth')", () => js(createClient)('/auth'), /baseUrl is missing/],
  ['a transport of the client', () => client({ transport: 'json' }), /transport json/, /"cookie" nor "body"/],
  ["the client's origins", () => client({ origins: 'https://a.test' }), /origins must be a list/],
  ['localStorage as it is', () => client({ storage: { getItem() {}, setItem() {} } }), /storage needs get and set/],
  [
    'a relative baseUrl in Node',
    () => client({ baseUrl: '/auth' }).signIn({ password: planted }),
    /baseUrl \/auth is no whole URL/,
    /write https:\/\//,
  ],
  ['attachDaypass(axios)', () => js(attachDaypass)(axios), /attachDaypass\(axios\.create\(\), createClient/],
  ['useSession()', () => js(useSession)(), /useSession\(createClient/],
  ['openSocket()', () => js(openSocket)(), /openSocket\(createClient\(…\), \{ open \}\)/],
  ['openSocket(client)', () => js(openSocket)(createClient({ baseUrl: '/auth' })), /\{ open \}/],
  ['streamEvents()', () => js(streamEvents)().next(), /streamEvents\(createClient\(…\), url\)/],
  ['streamEvents(client)', () => js(streamEvents)(createClient({ baseUrl: '/auth' })).next(), /streamEvents\(.*url/],
  ['createFileStorage()', () => js(createFileStorage)(), /createFileStorage\(path\)/],
]

async function errorOf(run: () => unknown): Promise<DaypassError | DaypassClientError> {
  try {
    await run()
  } catch (error) {
    assert.ok(error instanceof DaypassError || error instanceof DaypassClientError, String(error))
    return error
  }
  assert.fail('no error')
}

describe('the table', () => {
  for (const [mistake, run, ...says] of mistakes) {
    test(mistake, async () => {
      const error = await errorOf(run)
      const codes = says.filter((part) => typeof part === 'string')
      assert.equal(error.code, codes[0] ?? 'ERR_OPTION_INVALID')
      for (const part of says) if (part instanceof RegExp) assert.match(error.message, part)
      assert.ok(error.message.length < 400, error.message)
      assert.doesNotMatch(error.message, /undefined|\[object|\bNaN\b/)
      assert.doesNotMatch(error.message, new RegExp(planted))
      assert.ok(!error.message.includes(secret))
    })
  }
})

/** Each option of each function that makes something. `base` makes it; one option at a time is wrong. */
const makers: Record<string, { make: (options: Any) => unknown; options: string[] }> = {
  createDaypass: {
    make: (options) => daypass(options),
    options: [
      ...['secret', 'issuer', 'store', 'audience', 'clientId', 'algorithm', 'signingKeys', 'accessTokenLifetime'],
      ...['idleTimeout', 'absoluteTimeout', 'reuseInterval', 'retryInterval', 'maxSessionsPerSubject', 'findSubject'],
      ...['adopt', 'claims', 'whenStoreIsAway', 'onEvent', 'onWarning', 'clock', 'random'],
    ],
  },
  ...Object.fromEntries(
    Object.entries({ createNodeAuth, createExpressAuth, createFastifyAuth, createFetchAuth }).map(([name, create]) => [
      name,
      {
        make: (options: Any) => js(create)(auth, options),
        options: [
          ...['basePath', 'paths', 'authenticate', 'routes', 'transport', 'origins', 'cookie', 'bodyLimit', 'onError'],
          ...['onWarning', ...(create === createFetchAuth ? [] : ['trustedProxies'])],
        ],
      },
    ]),
  ),
  createVerifier: {
    make: (options) => js(createVerifier)({ issuer: 'https://id.example.com', ...options }),
    options: [
      ...['issuer', 'audience', 'jwks', 'clockTolerance', 'cacheSize', 'jwksMaxAge', 'jwksCooldown', 'jwksStaleFor'],
      ...['isRevoked', 'onWarning', 'clock', 'fetch'],
    ],
  },
  createSqliteStore: { make: (options) => js(createSqliteStore)(':memory:', options), options: ['prefix'] },
  createPostgresStore: {
    make: (options) => js(createPostgresStore)({ query() {} }, options),
    options: ['prefix', 'timeout', 'clock'],
  },
  createMongoStore: {
    make: (options) => js(createMongoStore)(mongoose.connection, options),
    options: ['prefix', 'timeout'],
  },
  adoptJwt: {
    make: (options) => js(adoptJwt)({ secret, ...options }),
    options: ['secret', 'algorithms', 'subject', 'claims', 'accepts', 'authTime', 'stored', 'until'],
  },
  adoptMongoose: { make: (options) => js(adoptMongoose)(User, options), options: ['field', 'subject', 'claims'] },
}
const values: unknown[] = [null, true, -1, Number.NaN, 'no such thing', {}, [], [null], () => {}, Promise.resolve()]

for (const [name, { make, options }] of Object.entries(makers)) {
  test(`${name}: whatever an option is, it is taken, or an error names it`, () => {
    let errors = 0
    for (const option of options) {
      for (const value of values) {
        try {
          make({ [option]: value })
        } catch (error) {
          errors++
          const what = `${option}: ${String(value)}: ${error}`
          assert.ok(error instanceof DaypassError && /^ERR_(OPTION_INVALID|KEY_WEAK)$/.test(error.code), what)
          assert.ok(error.message.includes(`\`${option}`), what)
        }
      }
    }
    assert.ok(errors > options.length, 'most of the values are wrong')
    for (const value of values.filter((value) => typeof value !== 'object' || value === null || Array.isArray(value))) {
      // `createVerifier` and others add the value to good options; only the options themselves are wrong here.
      if (/^(create(Node|Express|Fastify|Fetch)Auth|create\w+Store|adoptMongoose)$/.test(name)) {
        assert.throws(() => make(value), /The options are /)
      }
    }
  })
}

test('every guard wants a verifier', () => {
  for (const create of [createNodeGuard, createExpressGuard, createFastifyGuard, createFetchGuard]) {
    for (const value of values) assert.throws(() => js(create)(value), /`verifier` is .*createVerifier/)
  }
})

describe('mistakes that show at the first request', () => {
  const app = async (options: object = {}) => {
    const warnings: Warning[] = []
    const web = createExpressAuth(auth, {
      authenticate: () => ({ subject: 'ada' }),
      onWarning: (warning) => void warnings.push(warning),
      ...options,
    })
    const app = express().use(express.json(), web.routes)
    app.post('/nobody', (req, res) => web.signIn(req, res, undefined as never))
    const server = await listen(app)
    return { ...server, warnings }
  }

  test('a page that is not listed: the log names its origin and the option, once', async (t) => {
    const server = await app()
    t.after(() => server.close())
    const headers = { origin: 'https://app.example.com', 'sec-fetch-site': 'cross-site' }
    for (let i = 0; i < 3; i++) {
      const answer = await call(server.origin, 'POST /auth/refresh', { json: {}, headers })
      assert.equal(answer.json.code, 'ERR_ORIGIN_REFUSED')
      assert.match(answer.json.message, /`origins`/)
    }
    assert.deepEqual(
      server.warnings.map(({ code }) => code),
      ['DAYPASS_ORIGIN_UNLISTED'],
    )
    assert.match(
      server.warnings[0]!.message,
      /'https:\/\/app\.example\.com'.*`origins: \['https:\/\/app\.example\.com'\]`/,
    )
    await call(server.origin, 'POST /auth/refresh', { json: {}, headers: { ...headers, origin: 'null' } })
    assert.match(server.warnings[1]!.message, /'null' .*cannot be listed/)
  })

  test('a program without a browser’s headers at the cookie transport: the error says what to send', async (t) => {
    const server = await app()
    t.after(() => server.close())
    const cookie = 'daypass=dpr_x; __Host-daypass=dpr_x'
    for (const [line, headers] of [
      ['POST /auth/login', {}],
      ['POST /auth/refresh', { cookie }],
      ['POST /auth/logout', { cookie }],
    ] as const) {
      const { json } = await call(server.origin, line, { json: {}, headers })
      assert.equal(json.code, 'ERR_ORIGIN_REFUSED')
      assert.match(json.message, /neither an Origin nor Sec-Fetch-Site.*"transport": "body"/, line)
    }
    assert.deepEqual(server.warnings, [], 'nobody but the program has anything to change')
    const answer = await call(server.origin, 'POST /auth/login', { json: { transport: 'body' } })
    assert.match(answer.json.refreshToken, /^dpr_/)
  })

  test('a sign-in without a person: the log says how signIn is called', async (t) => {
    const errors: unknown[] = []
    const server = await app({ onError: (error: unknown) => errors.push(error) })
    t.after(() => server.close())
    assert.equal((await call(server.origin, 'POST /nobody', { json: {}, headers: ownPage })).status, 500)
    assert.match(String(errors), /`signIn` is missing.*web\.signIn\(…, \{ subject/)
  })

  test('another issuer or audience at a verifier: both are logged, once', async () => {
    const { accessToken } = await auth.issue('ada')
    for (const [options, says] of [
      [
        { issuer: 'https://id.example.com/' },
        /issuer 'https:\/\/id\.example\.com', and `issuer` is 'https:\/\/id\.example\.com\/'/,
      ],
      [
        { issuer: 'https://id.example.com', audience: 'api' },
        /audience 'https:\/\/id\.example\.com', and `audience` is 'api'/,
      ],
    ] as const) {
      const warnings: Warning[] = []
      const onWarning = (warning: Warning) => void warnings.push(warning)
      const verifier = createVerifier({ ...options, jwks: auth.jwks(), onWarning })
      for (let i = 0; i < 3; i++) {
        const error = await errorOf(() => verifier.verify(accessToken))
        assert.equal(error.code, 'ERR_ACCESS_TOKEN_INVALID')
        assert.match(String(error.cause), says)
        assert.doesNotMatch(error.message, /example/, 'the caller is told nothing of it')
      }
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['DAYPASS_TOKEN_FOREIGN'],
      )
      assert.match(warnings[0]!.message, says)
    }
  })

  test('a token of another key is no warning: anybody can make one', async () => {
    const warnings: Warning[] = []
    const other = createDaypass({ ...base(), secret: randomBytes(48), issuer: 'https://other.example.com' })
    const { accessToken } = await other.issue('ada')
    const verifier = createVerifier({
      issuer: 'https://id.example.com',
      jwks: auth.jwks(),
      onWarning: (warning) => void warnings.push(warning),
    })
    assert.equal((await errorOf(() => verifier.verify(accessToken))).code, 'ERR_ACCESS_TOKEN_INVALID')
    assert.deepEqual(warnings, [])
  })

  test('keys that cannot be fetched: the cause has the address and the reason, and no secret of the address', async (t) => {
    const { accessToken } = await auth.issue('ada')
    const empty = await listen((_req, res) => void res.writeHead(404).end())
    t.after(() => empty.close())
    const page = await listen((_req, res) => void res.end(`<html>${planted}`))
    t.after(() => page.close())
    const away = await listen(() => {})
    await away.close()
    for (const [server, reason] of [
      [empty, /status 404/],
      [page, /not JSON/],
      [away, /ECONNREFUSED/],
    ] as const) {
      const jwks = `${server.origin.replace('//', `//app:${planted}@`)}/keys.json?key=${planted}`
      // Node's fetch takes no address with a password; the app's own may.
      const send: typeof fetch = (url, init) => fetch(String(url).replace(/\/\/.*@/, '//'), init)
      const verifier = createVerifier({ issuer: 'https://id.example.com', jwks, fetch: send })
      const error = await errorOf(() => verifier.verify(accessToken))
      assert.equal(error.code, 'ERR_JWKS_UNAVAILABLE')
      assert.doesNotMatch(error.message, /127\.0\.0\.1/, 'the caller of the API is told no address')
      const { message } = error.cause as Error
      assert.ok(message.startsWith(`${server.origin}/keys.json gave no keys: `), message)
      assert.match(message, reason)
      assert.match(message, /`jwks`/)
      assert.doesNotMatch(message, new RegExp(planted))
    }
  })
})

describe('an older Node', () => {
  const open = `
    const { createSqliteStore } = await import('${root}/dist/stores/sqlite.js')
    try { createSqliteStore(':memory:') } catch (error) { console.log(error.code, error.message) }`
  const says = /^ERR_OPTION_INVALID daypass\/sqlite needs node:sqlite.*Node 22\.18.*This is Node \d+\./

  test('without node:sqlite, the store says which Node it needs', async () => {
    const args = ['--no-experimental-sqlite', '--input-type=module', '-e', open]
    const { stdout } = await promisify(execFile)(process.execPath, args)
    assert.match(stdout, says)
  })

  const node20 = (process.env.PATH ?? '')
    .split(':')
    .map((path) => join(path, 'node'))
    .find((path) => {
      try {
        return execFileSync(path, ['--version'], { encoding: 'utf8' }).startsWith('v20.')
      } catch {
        return false
      }
    })
  const skip = node20 === undefined && 'not run: no Node 20 is installed'

  test('on Node 20, the store says which Node it needs, and another store works', { skip }, async () => {
    const { stdout } = await promisify(execFile)(node20!, ['--input-type=module', '-e', open])
    assert.match(stdout, says)
    const signIn = `
      const { createDaypass } = await import('${root}/dist/index.js')
      const { createMemoryStore } = await import('${root}/dist/stores/memory.js')
      const auth = createDaypass({ secret: '${secret}', issuer: 'https://id.example.com', store: createMemoryStore() })
      const { refreshToken } = await auth.issue('ada')
      const { accessToken } = await auth.refresh(refreshToken)
      console.log((await auth.verify(accessToken)).subject)`
    assert.equal((await promisify(execFile)(node20!, ['--input-type=module', '-e', signIn])).stdout.trim(), 'ada')
  })
})
