// The parts of a refresh, each measured alone in this process, beside a whole refresh in the server's process.
//
// It measures CPU time, so that other work of the machine does not count.

import { createDaypass } from '../src/core/daypass.ts'
import { createKeys } from '../src/core/keys.ts'
import { randomBytes } from '../src/core/random.ts'
import { isTagged, mintRefreshToken, parseRefreshToken } from '../src/core/refresh-token.ts'
import { createHttpAuth } from '../src/http/http-auth.ts'
import type { HttpRequest } from '../src/http/request.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { figureOf, fixed, percent, printTable, rounds } from './measure.ts'
import type { RefreshCosts } from './refresh.ts'

const roundCount = 15
const callsARound = 1000

/** Measures the parts and prints them; `costs` are microseconds of CPU time a request, as the servers spent them. */
export async function benchBreakdown(costs: RefreshCosts): Promise<void> {
  const EdDSA = await measureParts('EdDSA', costs)
  const HS256 = await measureParts('HS256', costs)
  const rows = Object.keys(EdDSA).map((name) => [
    name,
    fixed(EdDSA[name]!, 1),
    percent(EdDSA[name]! / costs.EdDSA),
    fixed(HS256[name]!, 1),
    percent(HS256[name]! / costs.HS256),
  ])
  const title = 'Where the time of a refresh goes: daypass/node, memory, CPU µs; parts measured apart'
  printTable(title, [['', 'EdDSA', '', 'HS256', ''], ...rows])
}

const issuer = 'http://localhost:12345'

async function measureParts(algorithm: 'EdDSA' | 'HS256', costs: RefreshCosts): Promise<Record<string, number>> {
  const secret = randomBytes(32)
  const { proofKeys, signer } = createKeys(secret, issuer, algorithm)
  const store = createMemoryStore()
  const auth = createDaypass({ secret, issuer, algorithm, store })
  const web = createHttpAuth(auth)

  const issued = await auth.issue('subject', { device: { ip: '127.0.0.1' } })
  const session = (await store.find(issued.session.id))!
  const parsed = parseRefreshToken(issued.refreshToken, proofKeys)!
  const signingInput = issued.accessToken.slice(0, issued.accessToken.lastIndexOf('.'))
  const refresh = async (token: string) => (await web.routes(refreshRequest(token)))?.body ?? ''
  const body = JSON.parse(await refresh(issued.refreshToken))
  let token: string = body.refreshToken
  const { id } = (await auth.issue('another subject')).session
  let generation = 0

  const times = await rounds(roundCount, {
    signature: () => cpuOf(() => signer.sign(signingInput)),
    hmacs: () =>
      cpuOf(() => {
        parseRefreshToken(token, proofKeys)
        isTagged(parsed, session)
        mintRefreshToken(session, 1, parsed.salt, proofKeys[0]!)
      }),
    store: () =>
      cpuOf(() => {
        const times = { now: Date.now(), idleTimeout: 1_000_000, reuseInterval: 30_000 }
        return store.advance({ id, generation: generation++, salt: parsed.salt, key: null, ip: '127.0.0.1', ...times })
      }),
    refresh: () =>
      cpuOf(async () => {
        token = (await auth.refresh(token, { ip: '127.0.0.1', userAgent: 'bench' })).refreshToken
      }),
    routes: () =>
      cpuOf(async () => {
        token = /"refreshToken":"([^"]+)"/.exec(await refresh(token))![1]!
      }),
    json: () => cpuOf(() => JSON.stringify(body)),
  })
  const of = (name: string) => figureOf(times[name]!).median
  const parts = {
    'HTTP: node:http answering the same bytes': costs.http,
    'the access token’s signature': of('signature'),
    'the refresh tokens: 4 HMACs, base64url': of('hmacs'),
    'the store’s compare-and-set': of('store'),
    'the core: access token’s JSON, protocol': of('refresh') - of('signature') - of('hmacs') - of('store'),
    'the routes: headers, origin, JSON parse': of('routes') - of('refresh') - of('json'),
    'JSON stringify of the response': of('json'),
  }
  const known = Object.values(parts).reduce((sum, part) => sum + part, 0)
  const whole = costs[algorithm]
  return { ...parts, 'the rest: Node adapter, events, collector': whole - known, 'a whole refresh': whole }
}

/** Microseconds of this thread's CPU time a call. */
async function cpuOf(call: () => unknown): Promise<number> {
  const first = call()
  await first
  const before = process.threadCpuUsage()
  if (first instanceof Promise) for (let index = 0; index < callsARound; index++) await call()
  else for (let index = 0; index < callsARound; index++) call()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / callsARound
}

function refreshRequest(refreshToken: string): HttpRequest {
  const text = JSON.stringify({ refreshToken })
  const headers: Record<string, string[]> = {
    'content-type': ['application/json'],
    'content-length': [String(text.length)],
  }
  return {
    method: 'POST',
    path: '/auth/refresh',
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
