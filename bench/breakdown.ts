// The parts of a refresh, in CPU time: other work of the machine does not count.
//
// The first column is of servers under load (refresh.ts). Each part is the difference between two servers, so the parts add
// up to a whole refresh. The second column is of calls in this process, one after the other: the same work alone. It is less,
// because the code and the data of one call stay in the processor's caches.

import { createDaypass } from '../src/core/daypass.ts'
import { createKeys } from '../src/core/keys.ts'
import { randomBytes } from '../src/core/random.ts'
import { isTagged, mintRefreshToken, parseRefreshToken } from '../src/core/refresh-token.ts'
import { createHttpAuth } from '../src/http/http-auth.ts'
import type { HttpRequest } from '../src/http/request.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { fixedResponse, fixedRoute } from './fixed-route.ts'
import { fixed, percent, printTable, rounds } from './measure.ts'
import type { RefreshCosts } from './refresh.ts'
import type { Algorithm } from './settings.ts'
import { issuer } from './tokens.ts'

const roundCount = 15

/** Microseconds of one part: in a server under load, and alone; undefined where it is not measured so. */
interface Part {
  loaded?: number
  alone?: number
}

/** Measures the parts and prints them. */
export async function benchBreakdown(costs: RefreshCosts, seconds: number): Promise<void> {
  const time = ((seconds / roundCount) * 1000) / 4
  const EdDSA = await measureParts('EdDSA', costs, time)
  const HS256 = await measureParts('HS256', costs, time)
  const cells = ({ loaded, alone }: Part, whole: number) => [
    loaded === undefined ? '' : fixed(loaded, 1),
    loaded === undefined ? '' : percent(loaded / whole),
    alone === undefined ? '' : fixed(alone, 1),
  ]
  const rows = Object.keys(EdDSA).map((name) => [
    name,
    ...cells(EdDSA[name]!, costs.whole.EdDSA),
    ...cells(HS256[name]!, costs.whole.HS256),
  ])
  const title =
    'Where the time of a refresh goes: daypass/node, memory, CPU µs in a server under load, and of calls alone'
  printTable(title, [['', 'EdDSA', '', 'alone', 'HS256', '', 'alone'], ...rows])
}

async function measureParts(algorithm: Algorithm, costs: RefreshCosts, time: number): Promise<Record<string, Part>> {
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
  let token = issued.refreshToken
  const { id } = (await auth.issue('another subject')).session
  let generation = 0

  const text = JSON.stringify({ refreshToken: token })

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
    fixedRoute: () => web.routes(createRequest(text)),
    json() {
      JSON.parse(text)
      JSON.stringify(fixedResponse)
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
  const whole = costs.whole[algorithm]
  const bare = costs.raw[algorithm] - costs.http
  const routes = of('fixedRoute') - of('json')
  return {
    'HTTP and JSON: node:http, as many bytes': { loaded: costs.http },
    'the Node adapter': { loaded: costs.fixedRoute - costs.http - routes },
    'the routes: path, origin, headers, errors': { loaded: routes, alone: routes },
    'the tokens, as the raw twin makes them': { loaded: bare, alone: of('signature') + of('hmacs') },
    '  the access token’s signature': { alone: of('signature') },
    '  the refresh tokens: 4 HMACs, base64url': { alone: of('hmacs') },
    'the core: protocol, checks, store, event': {
      loaded: whole - costs.fixedRoute - bare,
      alone: of('refresh') - of('signature') - of('hmacs'),
    },
    '  the store’s compare-and-set': { alone: of('store') },
    'a whole refresh': { loaded: whole },
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

function createRequest(text: string): HttpRequest {
  const headers: Record<string, string[]> = {
    'content-type': ['application/json'],
    'content-length': [String(text.length)],
  }
  return {
    method: 'POST',
    path: fixedRoute.path,
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
