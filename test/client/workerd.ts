// Starts workerd, the runtime of Cloudflare Workers, with a bundled Worker.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'vite'

const root = join(import.meta.dirname, '../..')

const published = Object.entries({
  'daypass/client': 'client/index.js',
  'daypass/d1': 'stores/d1.js',
  'daypass/fetch': 'adapters/fetch.js',
  'daypass/memory': 'stores/memory.js',
  'daypass/verify': 'verify/index.js',
  daypass: 'index.js',
}).map(([find, file]) => ({ find, replacement: join(root, 'dist', file) }))

/** The oldest date whose features the client is promised to need. It has nodejs_compat off. */
const compatibilityDate = '2024-11-01'

/** @param more What the Worker has beside its module. */
const configOf = (date: string, more: string) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [(name = "app.js", esModule = embed "app.js")],
      compatibilityDate = "${date}",
      globalOutbound = "network",
      ${more}
    )),
    (name = "network", network = (allow = ["public", "private"])),
    (name = "disk", disk = (path = ".", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "app")],
);`

const withObject = `durableObjectNamespaces = [(className = "App", uniqueKey = "apps", enableSql = true)],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [(name = "APPS", durableObjectNamespace = "App")],`

/** Builds a Worker with the published client and a Durable Object, and serves it. Returns its URL. */
export const startWorkerd = (t: Ending, program: string, entry: string): Promise<string> =>
  serveWorker(t, program, entry, configOf(compatibilityDate, withObject))

/** Builds a Worker with the published entries and serves it, with node:crypto and so on, or without. Returns its URL. */
export const startPlainWorkerd = (t: Ending, program: string, entry: string, hasNode: boolean): Promise<string> =>
  serveWorker(
    t,
    program,
    entry,
    hasNode ? configOf('2026-01-01', 'compatibilityFlags = ["nodejs_compat"],') : configOf(compatibilityDate, ''),
  )

interface Ending {
  after(work: () => unknown): unknown
}

/** Bundles a Worker with the published entries. Returns the module. */
export async function bundleWorker(entry: string): Promise<string> {
  const built: any = await build({
    configFile: false,
    logLevel: 'warn',
    resolve: { alias: published },
    build: {
      write: false,
      minify: false,
      lib: { entry, formats: ['es'], fileName: 'app' },
      rolldownOptions: { external: /^node:/, output: { codeSplitting: false } },
    },
  })
  return [built].flat()[0].output[0].code
}

async function serveWorker(t: Ending, program: string, entry: string, config: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-workerd-'))
  writeFileSync(join(folder, 'app.js'), await bundleWorker(entry))
  writeFileSync(join(folder, 'config.capnp'), config)
  const workerd = spawn(program, ['serve', 'config.capnp', '--control-fd=3'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise((resolve) => workerd.once('exit', resolve))
  t.after(async () => {
    workerd.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  let log = ''
  workerd.stderr!.on('data', (chunk) => {
    log += chunk
  })
  const port = await new Promise((resolve, reject) => {
    workerd.stdio[3]!.on('data', (chunk) => resolve(/"port":(\d+)/.exec(String(chunk))![1]))
    workerd.once('exit', () => reject(new Error(`workerd ended: ${log}`)))
  })
  return `http://127.0.0.1:${port}`
}
