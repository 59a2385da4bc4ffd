// Refreshes over HTTP: the library on node:http and the server application, beside a bare server that does the same
// cryptography.

import { join } from 'node:path'
import type { LoadFigure, LoadResult } from './load.ts'
import { type Figure, figureOf, fixed, percent, printTable, ratioOf, rounds, type Target, whole } from './measure.ts'
import { chains, withServers } from './servers.ts'
import type { Algorithm } from './settings.ts'

const roundCount = 15

/** Microseconds of CPU time a request, as the servers spent them. */
export interface RefreshCosts {
  /** node:http and JSON alone: a body read, and as many bytes as a refresh answers. */
  http: number
  /** A route through the adapter, with the same body and as many bytes, and without work. */
  fixedRoute: number
  /** A refresh of the raw twin. */
  raw: Record<Algorithm, number>
  /** A refresh of the library in memory. */
  whole: Record<Algorithm, number>
}

/** Runs and prints the comparison; `seconds` is for each server in all, over its rounds. */
export async function benchRefresh(seconds: number): Promise<{ targets: Target[]; costs: RefreshCosts }> {
  const time = (seconds / roundCount) * 1000
  return withServers(async ({ folder, raw, app, application, measure }) => {
    const things: Record<string, () => Promise<LoadResult>> = {}
    for (const algorithm of ['EdDSA', 'HS256'] as const) {
      const kinds = {
        raw: await raw({ algorithm, store: 'memory:' }),
        memory: await app({ algorithm, store: 'memory:' }),
        sqlite: await app({ algorithm, store: join(folder, `${algorithm}.db`) }),
        server: await application(algorithm),
      }
      for (const keyed of [false, true]) {
        for (const [kind, server] of Object.entries(kinds)) {
          const request = keyed ? 'refresh with Idempotency-Key' : 'refresh'
          things[name(algorithm, keyed, kind)] = () => measure(server, '/auth/refresh', request, time)
        }
      }
      if (algorithm === 'HS256') {
        things.http = () => measure(kinds.raw, '/auth/fixed', 'refresh', time)
        things.fixedRoute = () => measure(kinds.memory, '/auth/fixed', 'refresh', time)
      }
    }
    // Once before: code that has just started is slow, and there is more of it in the library than in the twin.
    await rounds(1, things)
    return report(await rounds(roundCount, things))
  })
}

const name = (algorithm: string, keyed: boolean, kind: string) => `${algorithm} ${keyed ? 'key' : 'no key'} ${kind}`

const labels: Record<string, string> = {
  raw: 'raw node:http, Map',
  memory: 'daypass/node, memory',
  sqlite: 'daypass/node, SQLite FULL',
  server: 'daypass-server (Fastify), memory:',
}

function report(results: Record<string, LoadResult[]>): { targets: Target[]; costs: RefreshCosts } {
  const of = (key: string, what: LoadFigure): Figure => figureOf(results[key]!.map((result) => result[what]))
  const cpuRatio = (key: string, base: string) =>
    ratioOf(
      results[base]!.map((result) => result.cpu),
      results[key]!.map((result) => result.cpu),
    )
  const rates = (key: string) => results[key]!.map((result) => result.perSecond)
  const ratio = (key: string, base: string) => ratioOf(rates(key), rates(base))
  const targets: Target[] = []
  for (const algorithm of ['EdDSA', 'HS256'] as const) {
    const rows = [
      ['', 'refresh/s', 'spread', 'of raw', 'of memory', 'CPU µs each', 'of raw', 'server busy', 'p50 ms', 'p99 ms'],
    ]
    for (const keyed of [false, true]) {
      const raw = name(algorithm, keyed, 'raw')
      const memory = name(algorithm, keyed, 'memory')
      for (const kind of ['raw', 'memory', 'sqlite', 'server']) {
        const key = name(algorithm, keyed, kind)
        const rate = of(key, 'perSecond')
        rows.push([
          `${labels[kind]}${keyed ? ', Idempotency-Key' : ''}`,
          whole(rate.median),
          `±${percent(rate.spread / 2)}`,
          kind === 'raw' ? '1' : fixed(ratio(key, raw).median, 2),
          kind === 'sqlite' || kind === 'server' ? fixed(ratio(key, memory).median, 2) : '',
          fixed(of(key, 'cpu').median, 1),
          kind === 'raw' ? '1' : fixed(cpuRatio(key, raw).median, 2),
          percent(of(key, 'busy').median),
          fixed(of(key, 'p50').median, 2),
          fixed(of(key, 'p99').median, 2),
        ])
      }
      const words = `${algorithm}${keyed ? ', Idempotency-Key' : ''}`
      const least = algorithm === 'HS256' ? 0.9 : 0.93
      targets.push({ name: `refresh, ${words}: daypass/node of raw`, least, figure: ratio(memory, raw).median })
    }
    printTable(
      `Refreshes over HTTP, ${algorithm}: ${chains} chains, keep-alive, body transport; medians of ${roundCount} rounds in turn`,
      rows,
    )
  }
  /** Of all rounds together: the system counts CPU time in steps, which are long beside one round. */
  const cost = (key: string) => {
    const sum = (what: LoadFigure) => results[key]!.reduce((total, result) => total + result[what], 0)
    return (sum('busy') * 1e6) / sum('perSecond')
  }
  const refreshCost = (kind: string) => ({
    EdDSA: cost(name('EdDSA', false, kind)),
    HS256: cost(name('HS256', false, kind)),
  })
  const costs = {
    http: cost('http'),
    fixedRoute: cost('fixedRoute'),
    raw: refreshCost('raw'),
    whole: refreshCost('memory'),
  }
  return { targets, costs }
}
