// The OpenAPI description has every status and every member that the server sends.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ServerProcess, startServerProcess } from './process.ts'

const apiKey = 'a-key-of-a-back-end-that-is-long-enough'
const email = 'ada@example.com'
const password = 'correct horse battery'

let server: ServerProcess
let description: any
before(async () => {
  server = await startServerProcess({ DAYPASS_STORE: 'memory:', DAYPASS_API_KEY: apiKey })
  description = await (await fetch(`${server.url}/docs/json`)).json()
})
after(() => server.remove())

/** Members that the schema does not name, required ones that are missing, and values of another type. */
function findFaults(value: any, schema: any, path: string): string[] {
  const { $ref } = schema
  if ($ref !== undefined) return findFaults(value, description.components.schemas[$ref.split('/').at(-1)], path)
  const types: Record<string, boolean> = {
    string: typeof value === 'string',
    boolean: typeof value === 'boolean',
    integer: Number.isInteger(value),
    array: Array.isArray(value),
    object: typeof value === 'object' && !Array.isArray(value),
    null: value === null,
  }
  if (schema.type !== undefined && ![schema.type].flat().some((type) => types[type]))
    return [`${path}: not ${schema.type}`]
  if (schema.items !== undefined) return value.flatMap((item: any) => findFaults(item, schema.items, `${path}[]`))
  // An object without named members may have any, such as claims.
  if (schema.properties === undefined) return []
  const missing = schema.required
    .filter((name: string) => !(name in value))
    .map((name: string) => `${path}.${name}: missing`)
  const members = Object.entries(value).flatMap(([name, member]) => {
    const known = schema.properties[name]
    return known === undefined ? [`${path}.${name}: not described`] : findFaults(member, known, `${path}.${name}`)
  })
  return [...missing, ...members]
}

/** Sends a request, and checks its response against the description. */
async function call(route: string, status: number, given: { path?: string; json?: unknown; headers?: object } = {}) {
  const [method = '', path = ''] = route.split(' ')
  const response = await fetch(server.url + (given.path ?? path), {
    method,
    headers: { ...(given.json !== undefined && { 'content-type': 'application/json' }), ...given.headers },
    ...(given.json !== undefined && { body: JSON.stringify(given.json) }),
  })
  const text = await response.text()
  assert.equal(response.status, status, `${route}: ${text}`)
  const described = description.paths[path][method.toLowerCase()].responses[status]
  assert.ok(described, `${route}: ${status} is not described`)
  const schema = described.content?.['application/json'].schema
  if (schema === undefined) return undefined
  const json = JSON.parse(text)
  assert.deepEqual(findFaults(json, schema, ''), [], route)
  return json
}

test('each response is as described', async () => {
  const credentials = { email, password, transport: 'body' }
  await call('POST /auth/register', 200, { json: credentials })
  const signedIn = await call('POST /auth/login', 200, { json: { email, password, transport: 'body' } })
  const headers = { authorization: `Bearer ${signedIn.accessToken}` }
  const { refreshToken } = await call('POST /auth/refresh', 200, { json: { refreshToken: signedIn.refreshToken } })
  const { sessions } = await call('GET /auth/sessions', 200, { headers })
  assert.equal(sessions.length, 2)
  const path = `/auth/sessions/${signedIn.session.id}`
  await call('PATCH /auth/sessions/{id}', 200, { path, headers, json: { label: 'A telephone' } })
  await call('GET /auth/sessions', 200, { headers })
  await call('GET /auth/me', 200, { headers })
  await call('GET /auth/offers', 200)
  await call('POST /auth/password', 204, { headers, json: { current: password, next: 'another horse battery' } })
  await call('DELETE /auth/sessions', 200, { headers })
  await call('POST /auth/logout', 204, { json: { refreshToken } })
  const authorization = `Bearer ${apiKey}`
  const claims = { role: 'admin' }
  await call('POST /admin/sessions', 200, { headers: { authorization }, json: { subject: 'ada', claims } })
  const guest = await call('POST /auth/try', 200, { json: { transport: 'body' } })
  const ofGuest = { authorization: `Bearer ${guest.accessToken}` }
  const phone = await call('POST /auth/try/phone', 200, { headers: ofGuest, json: { label: 'Phone' } })
  await call('POST /auth/try/refresh', 200, { json: { refreshToken: phone.refreshToken } })
  await call('POST /auth/try/lost-response', 204, { headers: ofGuest })
  const ownPath = `/auth/sessions/${guest.session.id}`
  await call('DELETE /auth/sessions/{id}', 204, { path: ownPath, headers: ofGuest })
  for (const route of ['GET /healthz', 'GET /readyz', 'GET /metrics', 'GET /.well-known/jwks.json'])
    await call(route, 200)
})

test('each rejection is as described', async () => {
  const { accessToken } = await call('POST /auth/try', 200, { json: { transport: 'body' } })
  const bearer = { authorization: `Bearer ${accessToken}` }
  for (const [path, methods] of Object.entries<Record<string, any>>(description.paths)) {
    for (const [method, { security, requestBody }] of Object.entries(methods)) {
      const route = `${method.toUpperCase()} ${path}`
      const where = { path: path.replace('{id}', 'none') }
      if (security !== undefined) await call(route, 401, where)
      const headers = security?.[0].apiKey === undefined ? bearer : { authorization: `Bearer ${apiKey}` }
      if (method !== 'get')
        await call(route, 403, { ...where, headers: { ...headers, 'sec-fetch-site': 'cross-site' } })
      if (requestBody === undefined) continue
      await call(route, 400, { ...where, headers, json: [] })
      await call(route, 413, { ...where, headers, json: { long: 'x'.repeat(100_000) } })
      await call(route, 415, { ...where, headers: { ...headers, 'content-type': 'text/xml' }, json: {} })
    }
  }
})
