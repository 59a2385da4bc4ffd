// One exchange that keeps a person signed in, over HTTP: a refresh where a library has one, and the look-up of a session
// where the session is all that there is.

import { join } from 'node:path'
import { redisMissing, startRedis } from '../../test/engines/redis.ts'
import type { LoadFigure, LoadResult } from '../load.ts'
import { type Figure, figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from '../measure.ts'
import type { RequestKind } from '../requests.ts'
import { canPin, chains, type Server, type Servers, withServers } from '../servers.ts'

const roundCount = 9

interface Exchange {
  name: string
  /** The library, or none: a row of Daypass is always there. */
  peer?: string
  start(servers: Servers): Promise<Server>
  path: string
  request: RequestKind
  /** What the library does not do in this job, from its documentation and its code. */
  lacks: string
}

const peer = (file: string, ...args: string[]) => {
  return ({ script }: Servers) =>
    script(join(import.meta.dirname, 'servers', file), args, { NODE_ENV: 'production', BETTER_AUTH_TELEMETRY: '0' })
}

const refresh = { path: '/auth/refresh', request: 'refresh' } as const
const getSession = { path: '/api/auth/get-session', request: 'cookie' } as const

/** `folder` is for the files of databases. */
const createExchanges = (folder: string, redisUrl: string): Exchange[] => [
  {
    ...refresh,
    name: 'daypass/node, memory, HS256',
    start: ({ app }) => app({ algorithm: 'HS256', store: 'memory:' }),
    lacks: 'durability',
  },
  {
    ...refresh,
    name: 'daypass/node, memory, EdDSA',
    start: ({ app }) => app({ algorithm: 'EdDSA', store: 'memory:' }),
    lacks: 'durability',
  },
  {
    ...refresh,
    name: 'daypass/node, SQLite FULL, HS256',
    start: ({ app }) => app({ algorithm: 'HS256', store: join(folder, 'daypass-hs256.db') }),
    lacks: '',
  },
  {
    ...refresh,
    name: 'daypass/node, SQLite FULL, EdDSA',
    start: ({ app }) => app({ algorithm: 'EdDSA', store: join(folder, 'daypass-eddsa.db') }),
    lacks: '',
  },
  {
    ...refresh,
    name: 'daypass/express, memory, HS256',
    start: ({ app }) => app({ algorithm: 'HS256', store: 'memory:', framework: 'express' }),
    lacks: 'durability',
  },
  {
    name: 'jsonwebtoken as in the tutorials, Express, Map',
    peer: 'jsonwebtoken',
    start: peer('jsonwebtoken.ts'),
    ...refresh,
    lacks: 'reuse detection, a second device, retry of a lost response, durability',
  },
  {
    name: 'oidc-provider, Map, HS256',
    peer: 'oidc-provider',
    start: peer('oidc-provider.ts'),
    path: '/token',
    request: 'oauth',
    lacks: 'atomic rotation, retry of a lost response, durability (the adapter is yours)',
  },
  {
    name: 'better-auth OAuth provider, SQLite FULL, EdDSA',
    peer: 'better-auth',
    start: peer('better-auth-oauth.ts', join(folder, 'better-auth-oauth.db')),
    path: '/api/auth/oauth2/token',
    request: 'oauth',
    lacks: 'retry of a lost response (by default); reuse ends all sessions of person and client',
  },
  {
    ...getSession,
    name: 'better-auth get-session, memory',
    peer: 'better-auth',
    start: peer('better-auth-session.ts', 'memory:'),
    lacks: 'rotation, reuse detection, a token for APIs, durability',
  },
  {
    ...getSession,
    name: 'better-auth get-session, SQLite',
    peer: 'better-auth',
    start: peer('better-auth-session.ts', join(folder, 'better-auth.db')),
    lacks: 'rotation, reuse detection, a token for APIs; writes once a day',
  },
  {
    ...getSession,
    name: 'better-auth get-session, SQLite, cookie cache',
    peer: 'better-auth',
    start: peer('better-auth-session.ts', join(folder, 'better-auth-cache.db'), 'cookie-cache'),
    lacks: 'rotation, reuse detection, a token for APIs, revocation for 5 minutes',
  },
  {
    name: 'express-session, connect-redis: look-up and touch',
    peer: 'express-session',
    start: peer('express-session.ts', redisUrl),
    path: '/me',
    request: 'cookie',
    lacks: 'rotation, reuse detection, a token for APIs',
  },
  {
    name: 'iron-session: unseal and reseal',
    peer: 'iron-session',
    start: peer('iron-session.ts'),
    path: '/me',
    request: 'cookie',
    lacks: 'revocation (no store), rotation (old cookies work), reuse detection, a token for APIs',
  },
]

/** Runs and prints the comparison; `seconds` is for each server in all, over its rounds. */
export async function benchExchanges(seconds: number, isWanted: (peer: string) => boolean): Promise<void> {
  const needsRedis = isWanted('express-session')
  const redis = needsRedis && !redisMissing ? await startRedis('--appendfsync', 'everysec') : undefined
  const pinned = canPin()
  try {
    await withServers(async (servers) => {
      const exchanges = createExchanges(servers.folder, redis?.url ?? '').filter(
        ({ peer }) => peer === undefined || (isWanted(peer) && (peer !== 'express-session' || redis !== undefined)),
      )
      const things: Record<string, (time: number) => Promise<LoadResult>> = {}
      for (const { name, start, path, request } of exchanges) {
        const server = await start(servers)
        things[name] = (time) => servers.measure(server, path, request, time)
      }
      // Compilers need their time, and the slower a server, the more.
      for (const measure of Object.values(things)) await measure(seconds * 500)
      const time = (seconds / roundCount) * 1000
      const timed = Object.entries(things).map(([name, measure]) => [name, () => measure(time)])
      report(exchanges, await rounds(roundCount, Object.fromEntries(timed)), pinned)
    }, pinned)
  } finally {
    await redis?.remove()
  }
  if (needsRedis && redis === undefined) console.log(`\n1 row is left out, express-session: ${redisMissing}`)
}

function report(exchanges: Exchange[], results: Record<string, LoadResult[]>, pinned: boolean): void {
  const base = results[exchanges[0]!.name]!
  const rows = exchanges.map(({ name, lacks }) => {
    const of = (what: LoadFigure): Figure => figureOf(results[name]!.map((result) => result[what]))
    const rates = (list: LoadResult[]) => list.map(({ perSecond }) => perSecond)
    const rate = of('perSecond')
    return [
      name,
      whole(rate.median),
      `±${percent(rate.spread / 2)}`,
      fixed(ratioOf(rates(results[name]!), rates(base)).median, 3),
      fixed(of('cpu').median, 0),
      percent(of('busy').median),
      fixed(of('p50').median, 2),
      fixed(of('p99').median, 2),
      lacks,
    ]
  })
  const where = pinned ? 'the server alone on one core' : 'not pinned to a core'
  printTable(
    `Staying signed in, over HTTP: ${chains} keep-alive chains, ${where}; medians of ${roundCount} rounds in turn`,
    [['', 'per second', 'spread', 'of Daypass', 'CPU µs', 'busy', 'p50 ms', 'p99 ms', 'does without'], ...rows],
    [0, 8],
  )
}
