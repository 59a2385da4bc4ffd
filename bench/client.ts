// Calls through `client.fetch` beside bare fetch, to the same route of a server in another process.

import { createClient } from '../src/client/index.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds, whole } from './measure.ts'
import { withServers } from './servers.ts'

const roundCount = 15

/** Runs and prints the comparison; `seconds` is for each thing in all, over its rounds. */
export async function benchClient(seconds: number): Promise<void> {
  const time = (seconds / roundCount) * 1000
  const results = await withServers(async ({ app }) => {
    const { port } = await app({ algorithm: 'EdDSA', store: 'memory:' })
    const origin = `http://127.0.0.1:${port}`
    const url = `${origin}/open`
    const client = createClient({ baseUrl: `${origin}/auth`, transport: 'body', loginPath: '/admin/sessions' })
    await client.signIn({ subject: 'ada' })
    const headers = { authorization: `Bearer ${await client.getAccessToken()}` }
    const calls: Record<string, () => Promise<Response>> = {
      'fetch, no token': () => fetch(url),
      'fetch, the token as a header': () => fetch(url, { headers }),
      'client.fetch': () => client.fetch(url),
    }
    const things: Record<string, () => Promise<number>> = {}
    for (const inFlight of [1, 16]) {
      for (const [name, call] of Object.entries(calls)) {
        things[`${name}, ${inFlight} in flight`] = () => measure(call, inFlight, time)
      }
    }
    await rounds(1, things)
    return rounds(roundCount, things)
  })
  const rows = Object.entries(results).map(([name, values]) => {
    const { median, spread } = figureOf(values)
    const base = results[name.replace(/^[^,]+(, the token as a header)?/, 'fetch, the token as a header')] ?? values
    const ratio = name.includes('no token') ? '' : fixed(ratioOf(values, base).median, 2)
    return [name, whole(median), `±${percent(spread / 2)}`, fixed(1e6 / median, 1), ratio]
  })
  const title = `Calls to one route over keep-alive connections; medians of ${roundCount} rounds in turn`
  printTable(title, [['', 'calls/s', 'spread', 'µs each', 'of fetch with the header'], ...rows])
}

async function measure(call: () => Promise<Response>, inFlight: number, time: number): Promise<number> {
  let count = 0
  const started = performance.now()
  const deadline = started + time
  const chain = async () => {
    while (performance.now() < deadline) {
      const response = await call()
      if (!response.ok) throw new Error(`A call failed: ${response.status}`)
      await response.arrayBuffer()
      count++
    }
  }
  await Promise.all(Array.from({ length: inFlight }, chain))
  return (count * 1000) / (performance.now() - started)
}
