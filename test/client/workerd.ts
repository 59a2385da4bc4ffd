// Starts workerd, the runtime of Cloudflare Workers, with a bundled Worker.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'vite'

const root = join(import.meta.dirname, '../..')

/** The oldest date whose features the client is promised to need. It has nodejs_compat off. */
const compatibilityDate = '2024-11-01'

const config = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "app", worker = (
      modules = [(name = "app.js", esModule = embed "app.js")],
      compatibilityDate = "${compatibilityDate}",
      globalOutbound = "network",
      durableObjectNamespaces = [(className = "App", uniqueKey = "apps", enableSql = true)],
      durableObjectStorage = (localDisk = "disk"),
      bindings = [(name = "APPS", durableObjectNamespace = "App")],
    )),
    (name = "network", network = (allow = ["public", "private"])),
    (name = "disk", disk = (path = ".", writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "app")],
);`

/** Builds `entry` with the published client and serves it. Returns its URL. */
export async function startWorkerd(
  t: { after(work: () => unknown): unknown },
  program: string,
  entry: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-workerd-'))
  const built: any = await build({
    configFile: false,
    logLevel: 'warn',
    resolve: { alias: { 'daypass/client': join(root, 'dist/client/index.js') } },
    build: { write: false, minify: false, lib: { entry, formats: ['es'], fileName: 'app' } },
  })
  writeFileSync(join(folder, 'app.js'), [built].flat()[0].output[0].code)
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
