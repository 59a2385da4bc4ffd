// The parts of a refresh beside a whole refresh, in CPU time: other work of the machine does not count.
//
// HTTP, a route through the adapter and a whole refresh are measured in servers under load (refresh.ts). The adapter is a
// route without work, less HTTP, and less the same route called in this process. All other parts are measured here, one call
// after the other. What is left over is the difference between calls alone and calls among others: queues, caches, and the
// memory that more requests in flight keep from the collector.

import { createDaypass } from '../src/core/daypass.ts'
import { createKeys } from '../src/core/keys.ts'
import { randomBytes } from '../src/core/random.ts'
import { isTagged, mintRefreshToken, parseRefreshToken } from '../src/core/refresh-token.ts'
import { createHttpAuth } from '../src/http/http-auth.ts'
import type { HttpRequest } from '../src/http/request.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { fixedRoute } from './fixed-route.ts'
import { fixed, percent, printTable, rounds } from './measure.ts'
import type { RefreshCosts } from './refresh.ts'
import type { Algorithm } from './settings.ts'
import { issuer } from './tokens.ts'

const roundCount = 15

/** Microseconds by the name of a part. */
type Parts = Record<string, number>

/** Measures the parts and prints them; `costs` are microseconds of CPU time a request, as the servers spent them. */
export async function benchBreakdown(costs: RefreshCosts, seconds: number): Promise<void> {
  const time = ((seconds / roundCount) * 1000) / 4
  const EdDSA = await measureParts('EdDSA', costs, time)
  const HS256 = await measureParts('HS256', costs, time)
  const rows = Object.keys(EdDSA).map((name) => [
    name,
    fixed(EdDSA[name]!, 1),
    percent(EdDSA[name]! / costs.EdDSA),
    fixed(HS256[name]!, 1),
    percent(HS256[name]! / costs.HS256),
  ])
  const title = 'Where the time of a refresh goes: daypass/node, memory, CPU µs; the parts add up to the whole'
  printTable(title, [['', 'EdDSA', '', 'HS256', ''], ...rows])
}

async function measureParts(algorithm: Algorithm, costs: RefreshCosts, time: number): Promise<Parts> {
  const secret = randomBytes(32)
  const { proofKeys, signer } = createKeys(secret, issuer, algorithm)
  const store = createMemoryStore()
  const events: Record<string, number> = {}
  const auth = createDaypass({
    secret,
    issuer,
    algorithm,
    store,
    onEvent({ type }) {
      events[type] = (events[type] ?? 0) + 1
    },
  })
  const web = createHttpAuth(auth, { routes: [fixedRoute] })

  const issued = await auth.issue('subject', { device: { ip: '127.0.0.1' } })
  const session = (await store.find(issued.session.id))!
  const parsed = parseRefreshToken(issued.refreshToken, proofKeys)!
  const signingInput = issued.accessToken.slice(0, issued.accessToken.lastIndexOf('.'))
  const call = async (path: string) => (await web.routes(createRequest(path, token)))?.body ?? ''
  let token = issued.refreshToken
  const body = JSON.parse(await call('/auth/refresh'))
  token = body.refreshToken
  const { id } = (await auth.issue('another subject')).session
  let generation = 0

  const calls: Record<string, () => unknown> = {
    signature: () => signer.sign(signingInput),
    hmacs() {
      parseRefreshToken(token, proofKeys)
      isTagged(parsed, session)
      mintRefreshToken(session, 1, parsed.salt, proofKeys[0]!)
    },
    store() {
      const times = { now: Date.now(), idleTimeout: 1_000_000, reuseInterval: 30_000 }
      return store.advance({ id, generation: generation++, salt: parsed.salt, key: null, ip: '127.0.0.1', ...times })
    },
    async refresh() {
      token = (await auth.refresh(token, { ip: '127.0.0.1', userAgent: 'bench' })).refreshToken
    },
    async route() {
      token = /"refreshToken":"([^"]+)"/.exec(await call('/auth/refresh'))![1]!
    },
    fixedRoute: () => call('/auth/fixed'),
    json() {
      JSON.parse(JSON.stringify({ refreshToken: token }))
      JSON.stringify(body)
    },
  }
  const measured = Object.entries(calls).map(([name, each]) => [name, () => cpuOf(each, time)] as const)
  const things = Object.fromEntries(measured)
  await rounds(1, things)
  const spent = await rounds(roundCount, things)
  /** The mean of all calls: the collector's work comes now and then, and belongs to all of them. */
  const of = (name: string) => {
    const sum = (what: 'cpu' | 'count') => spent[name]!.reduce((total, each) => total + each[what], 0)
    return sum('cpu') / sum('count')
  }
  const adapter = costs.fixedRoute - costs.http - of('fixedRoute')
  const whole = costs[algorithm]
  return {
    'HTTP: node:http answering as many bytes': costs.http,
    'the Node adapter: request and response translated': adapter,
    'the routes: headers, origin, body, response': of('route') - of('refresh') - of('json'),
    'JSON: body parsed, response made': of('json'),
    'the core: protocol, access token’s claims, event': of('refresh') - of('signature') - of('hmacs') - of('store'),
    'the access token’s signature': of('signature'),
    'the refresh tokens: 4 HMACs, base64url': of('hmacs'),
    'the store’s compare-and-set': of('store'),
    'left over: 32 in flight, not one at a time': whole - costs.http - adapter - of('route'),
    'a whole refresh': whole,
  }
}

/** Calls for `time` milliseconds. Microseconds of CPU time of all threads: the collector and the compiler have their own. */
async function cpuOf(call: () => unknown, time: number): Promise<{ cpu: number; count: number }> {
  const first = call()
  await first
  let count = 0
  const before = process.cpuUsage()
  for (const end = performance.now() + time; performance.now() < end; count += 64) {
    if (first instanceof Promise) for (let index = 0; index < 64; index++) await call()
    else for (let index = 0; index < 64; index++) call()
  }
  const { user, system } = process.cpuUsage(before)
  return { cpu: user + system, count }
}

function createRequest(path: string, refreshToken: string): HttpRequest {
  const text = JSON.stringify({ refreshToken })
  const headers: Record<string, string[]> = {
    'content-type': ['application/json'],
    'content-length': [String(text.length)],
  }
  return {
    method: 'POST',
    path,
    host: 'localhost:12345',
    secure: false,
    ip: '127.0.0.1',
    local: true,
    userAgent: 'bench',
    headers: (name) => headers[name] ?? [],
    text: async () => text,
    aborted: false,
  }
}
