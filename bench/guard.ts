// `requireAuth` in front of a route, beside the same route without it: node:http, Express and Fastify.

import type { LoadFigure, LoadResult } from './load.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from './measure.ts'
import { chains, withServers } from './servers.ts'

const roundCount = 15
const frameworks = { node: 'node:http', express: 'Express 5', fastify: 'Fastify 5' } as const

/** Runs and prints the comparison; `seconds` is for each route in all, over its rounds. */
export async function benchGuard(seconds: number): Promise<void> {
  const time = (seconds / roundCount) * 1000
  const results = await withServers(async ({ app, measure }) => {
    const things: Record<string, () => Promise<LoadResult>> = {}
    for (const framework of Object.keys(frameworks) as (keyof typeof frameworks)[]) {
      const server = await app({ algorithm: 'EdDSA', store: 'memory:', framework })
      things[`${framework} open`] = () => measure(server, '/open', 'get', time)
      things[`${framework} guarded`] = () => measure(server, '/guarded', 'get', time)
    }
    await rounds(1, things)
    return rounds(roundCount, things)
  })
  const rows = Object.entries(frameworks).flatMap(([framework, label]) =>
    ['open', 'guarded'].map((route) => {
      const series = (name: string, what: LoadFigure) => results[`${framework} ${name}`]!.map((each) => each[what])
      const { median, spread } = figureOf(series(route, 'perSecond'))
      const ratio = ratioOf(series(route, 'perSecond'), series('open', 'perSecond')).median
      const cpu = figureOf(series(route, 'cpu')).median
      return [
        `${label}${route === 'open' ? '' : ', requireAuth'}`,
        whole(median),
        `±${percent(spread / 2)}`,
        route === 'open' ? '1' : fixed(ratio, 2),
        fixed(cpu, 1),
        route === 'open' ? '' : fixed(cpu - figureOf(series('open', 'cpu')).median, 1),
      ]
    }),
  )
  const title = `A guard in front of a route: ${chains} connections, tokens seen before; medians of ${roundCount} rounds in turn`
  printTable(title, [['', 'requests/s', 'spread', 'of without', 'CPU µs each', 'guard µs'], ...rows])
}
