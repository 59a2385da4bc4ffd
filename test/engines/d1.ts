// A Cloudflare D1 for tests: Miniflare, which `.ci/run` puts into .cache/runtimes.

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { D1Client, D1Statement } from '../../src/stores/d1.ts'
import { notInstalled } from './runtimes.ts'

const folder = join(import.meta.dirname, '../../.cache/runtimes')

/** The reason why there is no D1, or false. In CI a missing one is a failure. */
export const noD1: string | false = !existsSync(join(folder, 'node_modules/miniflare')) && notInstalled('miniflare')
if (noD1 && process.env.CI) throw new Error(noD1)

interface Miniflare {
  ready: Promise<URL>
  getWorker(): Promise<{ scheduled(event: { cron: string }): Promise<{ outcome: string }> }>
  dispose(): Promise<void>
}

/** Runs a Worker, an ES module, with a D1 as `env.DB`. */
export async function startMiniflare(script: string, bindings: Record<string, string> = {}): Promise<Miniflare> {
  const path = createRequire(join(folder, 'package.json')).resolve('miniflare')
  const { Miniflare } = await import(pathToFileURL(path).href)
  const flags = { compatibilityDate: '2026-01-01', compatibilityFlags: ['nodejs_compat'] }
  return new Miniflare({ modules: true, script, d1Databases: ['DB'], bindings, ...flags })
}

/** Runs the batches that it is sent on the binding. */
const script = `export default {
  async fetch(request, { DB }) {
    const fromJson = (value) => (Array.isArray(value) ? new Uint8Array(value) : value)
    const statements = await request.json()
    try {
      const batch = statements.map(({ sql, args }) => DB.prepare(sql).bind(...args.map(fromJson)))
      return Response.json(await DB.batch(batch))
    } catch (error) {
      return new Response(error.message, { status: 500 })
    }
  },
}`

interface Sent extends D1Statement {
  sql: string
  args: unknown[]
}

/** A D1 that this process reaches through a Worker. Miniflare’s own way in is a hundred times slower. */
export async function startD1(): Promise<{ client: D1Client; remove(): Promise<void> }> {
  const miniflare = await startMiniflare(script)
  const url = await miniflare.ready
  const prepare = (sql: string, args: unknown[] = []): Sent => ({ sql, args, bind: (...given) => prepare(sql, given) })
  const toJson = (value: unknown) => (value instanceof Uint8Array ? [...value] : value)
  return {
    client: {
      prepare,
      async batch(statements) {
        const sent = (statements as Sent[]).map(({ sql, args }) => ({ sql, args: args.map(toJson) }))
        const response = await fetch(url, { method: 'POST', body: JSON.stringify(sent) })
        if (!response.ok) throw new Error(await response.text())
        return (await response.json()) as { results: unknown[] }[]
      },
    },
    remove: () => miniflare.dispose(),
  }
}
