// `requireAuth`: what it checks, and the challenge of its rejections (RFC 6750 §3, RFC 9470 §3).

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  createNodeAuth,
  createRequireAuth,
  type GuardOptions,
  type RequireAuth,
  type TokenVerifier,
} from '../../src/adapters/node.ts'
import { DaypassError, isDaypassError } from '../../src/index.ts'
import { createVerifier } from '../../src/verify/index.ts'
import { assertRefused, bearer, call, listen, makeDaypass, type Role } from '../http/server.ts'

const now = 1_800_000_000_000
const clock = () => now

/** An API with one guarded address; `errors` has what `onError` receives. */
async function guarded(t: TestContext, verifier: TokenVerifier<unknown>, needed?: GuardOptions) {
  const errors: unknown[] = []
  const requireAuth = createRequireAuth(verifier, { onError: (error) => errors.push(error) })
  const server = await listen(requireAuth((req, res) => res.end(req.auth.subject), needed))
  t.after(() => server.close())
  const ask = (authorization?: string) =>
    call(server.origin, 'GET /', authorization ? { headers: { authorization } } : {})
  return { ask, errors }
}

/** An API where every token meets this. */
const refusing = (t: TestContext, error: Error, needed?: GuardOptions) =>
  guarded(t, { verify: () => Promise.reject(error) }, needed)

describe('the guard', () => {
  const { auth } = makeDaypass({ clock })
  const tokenWith = async (given: { scope?: string; authTime?: number }) => {
    const { accessToken } = await auth.issue('ada', { claims: { role: 'member' } satisfies Role, ...given })
    return bearer(accessToken).authorization
  }

  test('several scopes must all be there', async (t) => {
    const { ask } = await guarded(t, auth, { scope: 'reports:read reports:write' })
    for (const scope of ['reports:read', 'reports:write', 'reports:read reports:writes']) {
      assertRefused(await ask(await tokenWith({ scope })), 403, 'ERR_SCOPE_INSUFFICIENT', 'insufficient_scope')
    }
    const all = await ask(await tokenWith({ scope: 'reports:write reports:delete reports:read' }))
    assert.equal(all.text, 'ada')
  })

  test('a sign-in exactly `maxAge` seconds ago is let in, one a second older is not', async (t) => {
    const jwks = { keys: auth.jwks().keys }
    const verifier = createVerifier({ issuer: auth.issuer, jwks, clock })
    for (const [checks, needed] of [
      // By the clock of the one that verifies, and by another one where that is given.
      [auth, { maxAge: 60 }],
      [verifier, { maxAge: 60 }],
      [{ verify: auth.verify }, { maxAge: 60, clock }],
    ] as [TokenVerifier<unknown>, GuardOptions][]) {
      const { ask } = await guarded(t, checks, needed)
      assert.equal((await ask(await tokenWith({ authTime: now - 60_000 }))).text, 'ada')
      assertRefused(await ask(await tokenWith({ authTime: now - 61_000 })), 401, 'ERR_AUTHENTICATION_TOO_OLD')
    }
  })

  test('`allow` lets in for `true` alone, whatever else an app returns, at once or later', async (t) => {
    const others = [
      [],
      ['admin'],
      {},
      'false',
      'true',
      1,
      -1,
      () => true,
      new Boolean(true),
      false,
      undefined,
      null,
      0,
      '',
    ]
    for (const given of [...others, true]) {
      for (const allow of [() => given, async () => given] as GuardOptions['allow'][]) {
        const { ask } = await guarded(t, auth, { allow: allow! })
        const answer = await ask(await tokenWith({}))
        if (given === true) assert.equal(answer.text, 'ada')
        else assertRefused(answer, 403, 'ERR_CLAIMS_INSUFFICIENT', 'insufficient_scope')
      }
    }
  })

  test('the scheme is Bearer, in any case and with any blanks behind it, and no other that ends like it', async (t) => {
    const { ask } = await guarded(t, auth)
    const [, token] = (await tokenWith({})).split(' ')
    for (const scheme of ['Bearer ', 'bearer ', 'BEARER ', 'Bearer  ']) {
      assert.equal((await ask(scheme + token)).text, 'ada', scheme)
    }
    for (const scheme of ['NotBearer ', 'Basic Bearer ', 'Bearer']) {
      assertRefused(await ask(scheme + token), 401, 'ERR_ACCESS_TOKEN_MISSING')
    }
  })
})

describe('the arguments of the guard', () => {
  const { auth } = makeDaypass()
  const handler = () => {}
  const wrong: [name: string, given: unknown[], says: RegExp][] = [
    ['a misspelt option', [{ scopes: 'reports:read' }], /`scopes` is not an option.*`scope`/],
    ['a misspelt option behind a handler', [handler, { maxage: 60 }], /`maxage` is not an option.*`maxAge`/],
    ['a list of scopes', [{ scope: ['a', 'b'] }], /`scope` is a list\. .*separated by spaces/],
    ['no scope', [{ scope: '' }], /`scope` is ''/],
    ['scopes that no challenge can hold', [{ scope: 'reports:read "all"' }], /`scope` is 'reports:read "all"'/],
    ['a scope in another script', [{ scope: 'отчёты' }], /`scope` is 'отчёты'/],
    ['scopes on two lines', [{ scope: 'a\nb' }], /`scope` is 'a\\nb'/],
    ['scopes with two blanks between them', [{ scope: 'a  b' }], /`scope` is 'a {2}b'/],
    ['an age as a text', [{ maxAge: '60' }], /`maxAge` is '60'\. .*seconds/],
    ['an age that is no number', [{ maxAge: Number.NaN }], /`maxAge` is NaN/],
    ['a predicate that is none', [{ allow: ['admin'] }], /`allow` is a list\. .*function/],
    ['a text', ['admin'], /options are a string.*requireAuth\(\{ scope/],
    ['null', [null], /options are null/],
    ['the options before the handler', [{ maxAge: 60 }, handler], /handler first/],
  ]
  for (const [name, given, says] of wrong) {
    test(`${name}: an error when the route is made, and no open route`, () => {
      const guard = createNodeAuth(auth).requireAuth as RequireAuth<Role> & ((...given: unknown[]) => unknown)
      assert.throws(
        () => guard(...given),
        (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && says.test(error.message),
      )
    })
  }

  test('a route of the app’s own is checked the same way', () => {
    const route = { method: 'GET', path: '/a', access: 'bearer', run: () => ({}), allow: 'admin' }
    assert.throws(() => createNodeAuth(auth, { routes: [route as never] }), /`allow` is 'admin'/)
  })

  test('a guard without a verifier says so at the start', () => {
    for (const verifier of [undefined, {}, Promise.resolve(auth)]) {
      assert.throws(() => createRequireAuth(verifier as never), /`verifier` is .*createVerifier/)
    }
  })

  test('on node:http it is a middleware too: next is called where the token is good, and only there', async (t) => {
    const { requireAuth } = createNodeAuth(auth)
    const server = await listen((req, res) => {
      const check = req.url === '/bare' ? requireAuth : requireAuth()
      void check(req, res, () => res.end((req as unknown as { auth: { subject: string } }).auth.subject))
    })
    t.after(() => server.close())
    const { accessToken } = await auth.issue('ada', { claims: { role: 'member' } })
    for (const path of ['/bare', '/called']) {
      assert.equal((await call(server.origin, `GET ${path}`, { headers: bearer(accessToken) })).text, 'ada')
      assertRefused(await call(server.origin, `GET ${path}`), 401, 'ERR_ACCESS_TOKEN_MISSING')
    }
  })
})

describe('the challenge', () => {
  const needed = { scope: 'reports:read', maxAge: 60 }
  const challenge = async (t: TestContext, error: Error, options?: GuardOptions) => {
    const { ask } = await refusing(t, error, options)
    return (await ask('Bearer x')).headers['www-authenticate']
  }

  test('names the scope where scope is lacking, the age where the sign-in is too old, and neither for a bad token', async (t) => {
    const words = 'In short.'
    assert.equal(
      await challenge(t, new DaypassError('ERR_ACCESS_TOKEN_EXPIRED', words), needed),
      'Bearer error="invalid_token", error_description="In short."',
    )
    assert.equal(
      await challenge(t, new DaypassError('ERR_SCOPE_INSUFFICIENT', words), needed),
      'Bearer error="insufficient_scope", error_description="In short.", scope="reports:read"',
    )
    assert.equal(
      await challenge(t, new DaypassError('ERR_AUTHENTICATION_TOO_OLD', words), needed),
      'Bearer error="insufficient_user_authentication", error_description="In short.", max_age="60"',
    )
  })

  test('names neither where the address asks for none and the verifier refuses of its own', async (t) => {
    for (const code of ['ERR_SCOPE_INSUFFICIENT', 'ERR_AUTHENTICATION_TOO_OLD'] as const) {
      assert.match(
        (await challenge(t, new DaypassError(code, 'No.')))!,
        /^Bearer error="\w+", error_description="No\."$/,
      )
    }
  })

  test('has the characters of RFC 6750 alone, whatever an app’s error says, and the body has the message as it is', async (t) => {
    for (const [message, description] of [
      ['Bitte spÄter erneut.\r\nX-Evil: 1', 'Bitte sp?ter erneut. X-Evil: 1'],
      ['Нет', '???'],
      ['No \u{1f512} \ud800 \0 \x7f \x85 here’s', 'No ? ? ? ? ? here?s'],
      ['\u2028\t tab', ' tab'],
    ] as const) {
      for (const code of ['ERR_ACCESS_TOKEN_INVALID', 'ERR_SCOPE_INSUFFICIENT', 'ERR_CLAIMS_INSUFFICIENT'] as const) {
        const { ask } = await refusing(t, new DaypassError(code, message))
        const answer = await ask('Bearer x')
        assert.match(answer.headers['www-authenticate']!, /^[\x20-\x7e]+$/)
        assert.ok(
          answer.headers['www-authenticate']!.endsWith(`error_description="${description}"`),
          answer.headers['www-authenticate'],
        )
        assert.equal(answer.json.message, message)
      }
    }
  })

  test('cannot be broken out of: quotes and backslashes of a message become apostrophes', async (t) => {
    const error = new DaypassError('ERR_ACCESS_TOKEN_INVALID', 'Not "good" \\ here.')
    assert.equal(await challenge(t, error), `Bearer error="invalid_token", error_description="Not 'good' ' here."`)
  })

  test('is not there where no other token would help: a malformed request, a store that is away, a failure', async (t) => {
    for (const [error, status, told] of [
      [new DaypassError('ERR_REQUEST_INVALID'), 400, 0],
      [new DaypassError('ERR_STORE_LOCKED'), 503, 1],
      [new Error('boom'), 500, 1],
    ] as const) {
      const { ask, errors } = await refusing(t, error, needed)
      const answer = await ask('Bearer x')
      assert.equal(answer.status, status)
      assert.equal(answer.headers['www-authenticate'], undefined)
      assert.equal(answer.headers['cache-control'], 'no-store')
      assert.equal(errors.length, told)
    }
  })
})
