// Where the routes are: below a framework's mount, and how a path is found.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressOf, checkRoutes, createRouteTable, readDeclared, readParams } from '../../src/http/find-route.ts'
import type { DaypassRoute } from '../../src/http/route.ts'

const route = (method: string, path: string) =>
  ({ method, path, access: 'page', run: async () => null }) as unknown as DaypassRoute<unknown>

test('a route has one address: below the mount, unless its path begins with the mount', () => {
  const addresses: [path: string, mount: string, basePath: string, address: string][] = [
    ['/auth/refresh', '', '/auth', '/auth/refresh'],
    ['/auth/refresh', '/api', '/auth', '/api/auth/refresh'],
    ['/api/auth/refresh', '/api', '/api/auth', '/api/auth/refresh'],
    ['/api/auth/refresh', '/API', '/api/auth', '/api/auth/refresh'],
    ['/API/auth/refresh', '/api', '/API/auth', '/API/auth/refresh'],
    // A mount that ends with the base path has it already.
    ['/auth/refresh', '/auth', '/auth', '/auth/refresh'],
    ['/auth/refresh', '/api/auth', '/auth', '/api/auth/refresh'],
    ['/auth/refresh', '/api/AUTH', '/auth', '/api/AUTH/refresh'],
    ['/Auth/refresh', '/api/auth', '/Auth', '/api/auth/refresh'],
    ['/auth/refresh', '/auth/api', '/auth', '/auth/api/auth/refresh'],
    // The keys are not below the base path.
    ['/.well-known/jwks.json', '/api/auth', '/auth', '/api/auth/.well-known/jwks.json'],
    ['/authors', '/api/auth', '/auth', '/api/auth/authors'],
    ['/apiary', '/api', '', '/api/apiary'],
    ['//refresh', '/api', '', '/api//refresh'],
    ['/refresh', '/api', '', '/api/refresh'],
  ]
  for (const [path, mount, basePath, address] of addresses) {
    assert.equal(addressOf(path, mount, basePath), address, `${path} below ${mount}`)
  }
})

test('an address is read as the paths by which its route may be declared', () => {
  const declared: [address: string, mount: string, basePath: string, paths: string[]][] = [
    ['/auth/refresh', '', '/auth', ['/auth/refresh']],
    ['/api/auth/refresh', '/api', '/auth', ['/api/auth/refresh', '/auth/refresh']],
    ['/api/auth/refresh', '/api/auth', '/auth', ['/api/auth/refresh', '/refresh', '/auth/refresh']],
    ['/other/refresh', '/api', '/auth', []],
    ['/apiary', '/api', '/auth', []],
    ['/x/api/', '/api', '/auth', []],
  ]
  for (const [address, mount, basePath, paths] of declared) {
    assert.deepEqual(readDeclared(address, mount, basePath), paths, `${address} below ${mount}`)
    for (const path of paths) assert.equal(addressOf(path, mount, basePath), address)
  }
})

test('a route is found by its exact path, and else by its pattern; the methods of one path are listed', () => {
  const find = createRouteTable([
    route('GET', '/sessions'),
    route('DELETE', '/sessions/:id'),
    route('PATCH', '/sessions/:id'),
    route('GET', '/sessions/mine'),
    route('GET', '/v1.0/:id/x'),
  ])
  assert.equal(find('/sessions')?.allow, 'GET')
  assert.equal(find('/sessions/abc_-9')?.allow, 'DELETE, PATCH')
  assert.equal(find(`/sessions/${'a'.repeat(64)}`)?.allow, 'DELETE, PATCH')
  assert.equal(find('/sessions/mine')?.allow, 'GET')
  assert.equal(find('/v1.0/7/x')?.methods.get('GET')?.path, '/v1.0/:id/x')
  for (const path of [
    '/',
    '/session',
    '/sessions/',
    '/sessions/a/b',
    '/sessions/a%2Fb',
    '/sessions/a.b',
    `/sessions/${'a'.repeat(65)}`,
    '/x/sessions/a',
    '/v1-0/7/x',
    '/v1.0/7/y',
  ]) {
    assert.equal(find(path), undefined, path)
  }
})

test('two routes of one method and path are an error, whatever their parts are called', () => {
  for (const paths of [
    ['/a', '/a'],
    ['/a/:id', '/a/:name'],
  ]) {
    assert.throws(() => createRouteTable(paths.map((path) => route('GET', path))), {
      code: 'ERR_OPTION_INVALID',
      message: `Two routes are GET ${paths[1]}.`,
    })
  }
})

test('the parts of a path are read by their names', () => {
  assert.deepEqual(readParams('/sessions/:id', '/sessions/abc'), { id: 'abc' })
  assert.deepEqual(readParams('/a/:one/b/:two', '/a/1/b/2'), { one: '1', two: '2' })
  assert.deepEqual(readParams('/sessions', '/sessions'), {})
})

test('a declared route is checked when the routes are made', () => {
  const run = () => ({})
  const page = { method: 'GET', path: '/me', access: 'page', run }
  const good = [
    ...['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].map((method) => ({ ...page, method })),
    ...['/a', '/a/:id', '/:id', '/a.b/~c-d_e/9', '/a/:one/:two'].map((path) => ({ ...page, path })),
    { ...page, access: 'credentials' },
    { ...page, access: 'bearer', scope: 'a b', maxAge: 0, allow: () => true },
    { ...page, access: 'custom', check: () => {} },
  ]
  checkRoutes(good as never)
  const wrong: [route: unknown, message: string][] = [
    ...['HEAD', 'OPTIONS', 'get', '', undefined].map((method): [unknown, string] => [
      { ...page, method },
      ' is not a route',
    ]),
    ...['', '/', 'a', 'x/a', '/a/', '/a b', '//a', '/a?b', '/a/:', '/:i-d', '/a\n', undefined].map(
      (path): [unknown, string] => [{ ...page, path }, ' is not a route'],
    ),
    [{ ...page, access: 'public' }, "is not a route: 'GET' '/me' for 'public'. See `Route`"],
    [{ ...page, access: '' }, 'is not a route'],
    [{ ...page, access: undefined }, 'is not a route'],
    [{ ...page, run: undefined }, 'is not a route'],
    [{ ...page, access: 'custom' }, 'is not a route'],
    [{ ...page, access: 'custom', check: true }, 'is not a route'],
    [null, 'is not a route: null.'],
    ['GET /me', "is not a route: 'GET /me'."],
    [{ ...page, scopes: 'a' }, '`routes[0].scopes` is not an option'],
    [{ ...page, check: run }, '`routes[0].check` is not an option'],
    ...['scope', 'maxAge', 'allow'].map((name): [unknown, string] => [
      { ...page, [name]: 1 },
      "It needs an access token: `access: 'bearer'`.",
    ]),
    [{ ...page, access: 'bearer', scope: '' }, '`scope` is '],
    [{ ...page, access: 'bearer', maxAge: -1 }, '`maxAge` is '],
    [{ ...page, access: 'bearer', allow: 'admin' }, '`allow` is '],
  ]
  for (const [route, message] of wrong) {
    assert.throws(
      () => checkRoutes([route] as never),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_OPTION_INVALID')
        assert.ok(error.message.includes(message), error.message)
        return true
      },
    )
  }
  assert.throws(
    () => checkRoutes([{ ...page, access: 'bearer', scopes: 'a' }] as never),
    ({ message }: Error) => message.startsWith('`routes[0].scopes`') && !message.includes('It needs an access token'),
  )
})
