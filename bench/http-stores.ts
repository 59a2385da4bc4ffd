// Refreshes over HTTP on each store, and through Express, beside raw twins with the same statement, driver and grouping.

import { join } from 'node:path'
import { startEngines } from './engines.ts'
import type { LoadFigure, LoadResult } from './load.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, type Target, whole } from './measure.ts'
import { chains, withServers } from './servers.ts'
import type { ServerSettings } from './settings.ts'

const roundCount = 15

/** One pair of servers; the twin has a database of its own. */
interface Pair {
  name: string
  settings: ServerSettings
  twin?: Partial<ServerSettings>
  least: number
}

/** Runs and prints the comparison; `seconds` is for each server in all, over its rounds. */
export async function benchHttpStores(seconds: number): Promise<Target[]> {
  const engines = await startEngines('PostgreSQL', 'Redis', 'MongoDB')
  try {
    return await withServers(async ({ folder, raw, app, measure }) => {
      const algorithm = 'HS256'
      const memory = { algorithm, store: 'memory:' } as const
      const sqlite = { algorithm, store: join(folder, 'app.db') } as const
      const pairs: Pair[] = [
        { name: 'memory', settings: memory, least: 0.9 },
        { name: 'memory, Express 5', settings: { ...memory, framework: 'express' }, least: 0.92 },
        { name: 'SQLite FULL', settings: sqlite, twin: { store: join(folder, 'raw.db') }, least: 0.85 },
      ]
      for (const { name, database } of engines) {
        const settings = { algorithm, ...(await database()) } as const
        pairs.push({ name, settings, twin: await database(), least: 0.85 })
      }
      const things: Record<string, () => Promise<LoadResult>> = {}
      const time = (seconds / roundCount) * 1000
      for (const { name, settings, twin } of pairs) {
        const servers = { raw: await raw({ ...settings, ...twin }), app: await app(settings) }
        things[`raw ${name}`] = () => measure(servers.raw, '/auth/refresh', 'refresh', time)
        things[`app ${name}`] = () => measure(servers.app, '/auth/refresh', 'refresh', time)
      }
      await rounds(1, things)
      return report(pairs, await rounds(roundCount, things))
    })
  } finally {
    for (const engine of engines) await engine.remove()
  }
}

function report(pairs: Pair[], results: Record<string, LoadResult[]>): Target[] {
  const series = (key: string, what: LoadFigure) => results[key]!.map((result) => result[what])
  const rows = [
    ['', 'refresh/s', 'spread', 'of twin', 'of memory', 'CPU µs each', 'of twin', 'server busy', 'p50 ms', 'p99 ms'],
  ]
  const targets: Target[] = []
  for (const { name, least } of pairs) {
    for (const [kind, label] of [
      ['raw', `raw, ${name}`],
      ['app', `daypass, ${name}`],
    ] as const) {
      const key = `${kind} ${name}`
      const ratio = (what: LoadFigure, base: string) => ratioOf(series(key, what), series(base, what)).median
      const of = (what: LoadFigure) => figureOf(series(key, what)).median
      const { median, spread } = figureOf(series(key, 'perSecond'))
      const isTwin = kind === 'raw'
      const ofTwin = ratio('perSecond', `raw ${name}`)
      if (!isTwin) targets.push({ name: `refresh, HS256, ${name}: of its raw twin`, least, figure: ofTwin })
      rows.push([
        label,
        whole(median),
        `±${percent(spread / 2)}`,
        isTwin ? '1' : fixed(ofTwin, 2),
        fixed(ratio('perSecond', `${kind} memory`), 2),
        fixed(of('cpu'), 1),
        isTwin ? '1' : fixed(ratio('cpu', `raw ${name}`), 2),
        percent(of('busy')),
        fixed(of('p50'), 2),
        fixed(of('p99'), 2),
      ])
    }
  }
  const title = `Refreshes over HTTP on each store, HS256: ${chains} chains, keep-alive; medians of ${roundCount} rounds in turn`
  printTable(title, rows)
  return targets
}
