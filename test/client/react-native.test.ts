// The recipe of docs/client.md works with an AbortController of 2019, as React Native has.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { test } from 'node:test'
import { createGate, credentials, startServer } from './scripted-server.ts'

const root = join(import.meta.dirname, '../..')
const recipe = /^if \(!Object\.hasOwn\(AbortSignal[\s\S]*?^}/m.exec(
  readFileSync(join(root, 'docs/client.md'), 'utf8'),
)![0]

/** React Native lacks these: no reason, no throwIfAborted. (Its other gaps do not show in Node.) */
const oldPlatform = `
  const { abort } = AbortController.prototype
  AbortController.prototype.abort = function () { abort.call(this) }
  delete AbortSignal.prototype.reason
  delete AbortSignal.prototype.throwIfAborted`

async function run(code: string, stderr: 'inherit' | 'ignore' = 'inherit'): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', stderr] })
  const timer = setTimeout(() => child.kill(), 30_000)
  const chunks = await child.stdout.toArray()
  clearTimeout(timer)
  return String(Buffer.concat(chunks)).trim()
}

test('with the recipe, calls go through, and a sign-out fails those that wait with ERR_SIGNED_OUT', async (t) => {
  const server = await startServer(t)
  const asked = createGate()
  const app = `
    const { createClient } = await import(${JSON.stringify(join(root, 'src/client/index.ts'))})
    const client = createClient({ baseUrl: '${server.url}/auth' })
    await client.signIn(${JSON.stringify(credentials)})
    const first = await client.fetch('${server.url}/api')
    const waiting = client.getAccessToken({ forceFresh: true }).catch((error) => error)
    await new Promise((resolve) => setTimeout(resolve, 300))
    await client.signOut()
    console.log(first.status, (await waiting).code)
    process.exit()`
  server.script.push(() => asked.open())
  const block = (code: string) => `{${code}\n}\n`
  assert.equal(await run(block(oldPlatform) + block(stripTypeScriptTypes(recipe)) + app), '200 ERR_SIGNED_OUT')
  await asked.opened

  // Without it nothing works: the test is one.
  assert.equal(await run(block(oldPlatform) + app, 'ignore'), '')
})
