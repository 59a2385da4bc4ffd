// Pages that may use this server, and the warnings about others.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOrigins } from '../../src/http/origins.ts'
import { type Asked, makeRequest } from './in-process.ts'

const listed = 'https://app.test'

/** Checks a request. Returns the warnings; throws where it is refused. */
function check(headers: Record<string, string>, usesCookie = true, asked: Asked = {}) {
  const warnings: unknown[][] = []
  const origins = createOrigins([listed, 'capacitor://localhost'], (...warning) => void warnings.push(warning))
  const request = makeRequest('POST /auth/refresh', { ...asked, headers })
  let thrown: unknown
  try {
    origins.check(request, usesCookie)
  } catch (error) {
    thrown = error
  }
  return { warnings, code: (thrown as { code?: string })?.code, message: String((thrown as Error)?.message) }
}

test('a request is let in by what its browser says of the page, or by its Origin', () => {
  const letIn: [headers: Record<string, string>, usesCookie?: boolean, asked?: Asked][] = [
    [{ 'sec-fetch-site': 'same-origin' }],
    [{ 'sec-fetch-site': 'same-origin', origin: 'https://other.test' }],
    [{ 'sec-fetch-site': 'cross-site', origin: listed }],
    [{ 'sec-fetch-site': 'cross-site', origin: 'capacitor://localhost' }],
    [{ origin: listed }],
    [{ origin: 'https://id.test' }],
    [{ origin: 'http://id.test:8080' }, true, { secure: false, host: 'id.test:8080' }],
    [{}, false],
  ]
  for (const [headers, usesCookie, asked] of letIn) {
    assert.deepEqual(check(headers, usesCookie, asked), { warnings: [], code: undefined, message: 'undefined' })
  }
})

test('others are refused; for a page there is a warning, and the response says what the caller can do', () => {
  const refused: [headers: Record<string, string>, usesCookie: boolean, page: string | undefined, message: RegExp][] = [
    [{}, true, undefined, /no browser sent it, and it may not use the cookie/],
    [{ 'sec-fetch-site': 'none' }, false, undefined, /^(?!.*no browser)/],
    [{ 'sec-fetch-site': 'same-site' }, false, undefined, /^(?!.*no browser)/],
    [{ 'sec-fetch-site': 'same-site', origin: 'https://id.test' }, true, 'https://id.test', /^(?!.*`null`)/],
    [{ origin: 'https://evil.test' }, false, 'https://evil.test', /^(?!.*`null`)/],
    [{ origin: 'null' }, true, 'null', /The browser sent the Origin `null`, which may be any page/],
    [{ 'sec-fetch-site': 'cross-site', origin: 'null' }, true, 'null', /^(?!.*`null`)/],
  ]
  for (const [headers, usesCookie, page, message] of refused) {
    const result = check(headers, usesCookie)
    assert.equal(result.code, 'ERR_ORIGIN_REFUSED')
    assert.match(result.message, message)
    assert.deepEqual(
      result.warnings.map(([code, , cause]) => [code, cause]),
      page === undefined ? [] : [['DAYPASS_ORIGIN_UNLISTED', page]],
    )
  }
})

test('the warning says whether a page can be listed, and what else may be wrong', () => {
  const warningOf = (origin: string, asked: Asked = {}) =>
    check({ 'sec-fetch-site': 'cross-site', origin }, true, asked).warnings[0]?.[1]
  const refused = (origin: string) => `A page of the origin '${origin}' was refused.`
  for (const origin of ['https://new.test', 'chrome-extension://abc', 'http://localhost:5173']) {
    const expected = `${refused(origin)} If it is yours, and only then, list it: \`origins: ['${origin}']\`.`
    assert.equal(warningOf(origin), expected)
  }
  assert.equal(
    warningOf('http://id.test'),
    `${refused('http://id.test')} That is this server's own host, but this request came over https: load the page over it, too, or name the proxy that ends TLS in \`trustedProxies\`.`,
  )
  assert.match(String(warningOf('https://id.test', { secure: false })), /this request came over http: load/)
  const shared = 'It cannot be listed: sandboxed frames, files and many others share it.'
  assert.equal(
    warningOf('null'),
    `${refused('null')} ${shared} If it is a form of yours, serve its page with \`Referrer-Policy: same-origin\`, not \`no-referrer\`.`,
  )
  for (const origin of ['file://', 'x', 'https://new.test/', 'x-https://id.test']) {
    if (origin === 'x-https://id.test') assert.match(String(warningOf(origin)), /list it/)
    else assert.equal(warningOf(origin), `${refused(origin)} ${shared}`)
  }
})

test('a sign-in that leads on may come from another site, if it loads a page', () => {
  const load = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  const origins = createOrigins()
  const isLetIn = (method: string, headers: Record<string, string>, allowsPost: boolean) => {
    try {
      origins.checkArrival(
        makeRequest(`${method} /own`, { headers: { origin: 'https://evil.test', ...headers } }),
        allowsPost,
      )
      return true
    } catch {
      return false
    }
  }
  origins.checkArrival(makeRequest('GET /own'), false)
  for (const allowsPost of [true, false]) {
    assert.equal(isLetIn('GET', load, allowsPost), true)
    assert.equal(isLetIn('POST', load, allowsPost), allowsPost)
    assert.equal(isLetIn('DELETE', load, allowsPost), false)
    assert.equal(isLetIn('POST', {}, allowsPost), allowsPost)
    assert.equal(isLetIn('GET', {}, allowsPost), false)
    assert.equal(isLetIn('GET', { ...load, 'sec-fetch-dest': 'iframe' }, allowsPost), false)
    assert.equal(isLetIn('GET', { ...load, 'sec-fetch-mode': 'no-cors' }, allowsPost), false)
  }
})

test('by default no page of another origin may use the server, and nobody is warned', () => {
  const origins = createOrigins()
  const request = makeRequest('POST /', { headers: { origin: listed } })
  assert.throws(() => origins.check(request, false), { code: 'ERR_ORIGIN_REFUSED' })
  assert.deepEqual(origins.headers(request), {})
  assert.deepEqual([origins.has('https://id.test', request), origins.has(listed, request)], [true, false])
  assert.equal(origins.isOwn('http://id.test', request), false)
})

test('two Origins are no listed one, and an empty header is not the same as none', () => {
  const origins = createOrigins([listed])
  const headersOf = (origin: string[], method = 'GET', allow?: string) =>
    origins.headers(makeRequest(`${method} /`, { headers: { origin } }), allow)
  for (const origin of [[], [''], [listed, listed], ['https://evil.test']]) {
    assert.deepEqual(headersOf(origin), { vary: 'Origin' })
  }
  const names = (method: string, allow?: string) => Object.keys(headersOf([listed], method, allow)).length
  assert.deepEqual([names('GET'), names('GET', 'GET'), names('OPTIONS'), names('OPTIONS', 'GET')], [4, 4, 4, 7])
  const preflight = (method: string, headers: Record<string, string | string[]>) =>
    origins.isPreflight(makeRequest(`${method} /`, { headers: { origin: listed, ...headers } }))
  assert.equal(preflight('OPTIONS', { 'access-control-request-method': 'POST' }), true)
  assert.equal(preflight('POST', { 'access-control-request-method': 'POST' }), false)
  assert.equal(preflight('OPTIONS', { 'access-control-request-method': ['POST', 'GET'] }), false)
  assert.equal(preflight('OPTIONS', { 'access-control-request-method': 'POST', origin: [] }), false)
})

test('an origin that is listed is exact: a scheme and a host, as browsers send it', () => {
  for (const origin of ['https://a.test', 'http://a.test:8080', 'capacitor://localhost', 'chrome-extension://abc']) {
    createOrigins([origin])
  }
  for (const origin of [
    'https://a.test/',
    'https://a.test:443',
    'https://A.test',
    'https://*.a.test',
    'app://*',
    'file://',
    'file://host',
    'capacitor://',
    'capacitor://localhost/',
    'capacitor:localhost',
    'a.test',
    '',
    7,
    undefined,
  ]) {
    assert.throws(() => createOrigins([origin as string]), /`origins` is .* Give exact origins, without a path/)
  }
})
