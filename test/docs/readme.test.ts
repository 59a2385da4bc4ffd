// README's snippets together: the server of the one is signed in to by the page of the other, in a real Chromium.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { launchBrowser } from '../browser/browser.ts'

const root = join(import.meta.dirname, '../..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const snippets = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => code)
const find = (text: string) => {
  const found = snippets.find((code) => code.includes(text))
  assert.ok(found, `README has a snippet with ${text}`)
  return found
}

test('the Express app and the page, as printed, sign in and call', { timeout: 60_000 }, async (t) => {
  const listen = 'const running = app.listen(0, () => process.send!((running.address() as { port: number }).port))'
  const server = find('createExpressAuth').replace('app.listen(3000)', listen)
  assert.ok(server.includes(listen))
  const page = find('session.signIn(')

  const folder = mkdtempSync(join(tmpdir(), 'daypass-readme-'))
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules/daypass'))
  symlinkSync(join(root, 'node_modules/express'), join(folder, 'node_modules/express'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'server.ts'), server)
  const { PATH } = process.env
  const child = fork(join(folder, 'server.ts'), {
    cwd: folder,
    env: { PATH, DAYPASS_SECRET: randomBytes(48).toString('base64') },
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill()
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  const [port] = await Promise.race([once(child, 'message'), ended.then(() => [])])
  assert.ok(port > 0, 'the server starts')

  const browser = await launchBrowser()
  t.after(() => browser.close())
  const tab = await browser.newPage()
  const imports = { 'daypass/client': '/daypass/index.js' }
  const html = `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module">${page}</script>`
  const origin = `http://localhost:${port}`
  await tab.route(`${origin}/`, (route) => route.fulfill({ contentType: 'text/html', body: html }))
  await tab.route(`${origin}/daypass/*`, (route) =>
    route.fulfill({ path: join(root, 'dist/client', new URL(route.request().url()).pathname.slice(9)) }),
  )
  const logged = tab.waitForEvent('console', { predicate: (message) => message.type() === 'log' })
  const errors: unknown[] = []
  tab.on('pageerror', (error) => errors.push(error))
  await tab.goto(`${origin}/`)
  assert.deepEqual(await (await logged).args()[0]?.jsonValue(), { subject: '1' }, String(errors))
})
