// README's Express app and its page, as printed: the page signs in in a real Chromium, and the log has no token.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { launchBrowser } from '../browser/browser.ts'
import { createProject } from './project.ts'

const root = join(import.meta.dirname, '../..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const snippets = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => code)
const find = (text: string) => {
  const found = snippets.find((code) => code.includes(text))
  assert.ok(found, `README has a snippet with ${text}`)
  return found
}

/** Starts README's Express app as printed, in a folder of its own, on a port that the system chooses. */
async function startApp(t: TestContext) {
  const listen = 'const running = app.listen(0, () => process.send!((running.address() as { port: number }).port))'
  const server = find('createExpressAuth').replace('app.listen(3000)', listen)
  assert.ok(server.includes(listen))
  const { folder, write } = createProject(t, ['express'])
  const { PATH } = process.env
  const child = fork(write('server.ts', server), {
    cwd: folder,
    env: { PATH, DAYPASS_SECRET: randomBytes(48).toString('base64') },
    silent: true,
  })
  const ended = once(child, 'close')
  const printed: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => printed.push(String(chunk)))
  const stop = async () => {
    child.kill()
    await ended
    return printed.join('')
  }
  t.after(stop)
  const [port] = await Promise.race([once(child, 'message'), ended.then(() => [])])
  assert.ok(port > 0, `the server starts: ${printed.join('')}`)
  return { origin: `http://localhost:${port}`, stop }
}

test('the Express app, as printed, logs no token of a body that is no JSON', async (t) => {
  const { origin, stop } = await startApp(t)
  const token = `dpr_${randomBytes(32).toString('base64url')}`

  const statuses: number[] = []
  for (const path of ['/auth/refresh', '/auth/logout']) {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(origin + path, { method: 'POST', headers, body: `{"refreshToken":"${token}",}` })
    assert.ok(!(await response.text()).includes(token))
    statuses.push(response.status)
  }

  assert.deepEqual(statuses, [400, 400])
  // Express logs the first error before it reads the second request.
  assert.ok(!(await stop()).includes(token))
})

test('no printed Express app has a parser in front of the routes of Daypass', () => {
  const files = ['README.md', ...globSync(['docs/*.md', 'examples/**/*.ts', 'src/**/*.ts'], { cwd: root })]
  const texts = files.map((file) => [file, readFileSync(join(root, file), 'utf8')] as const)
  assert.ok(texts.some(([, text]) => text.includes('app.use(web.routes, express.json())')))
  const wrong = texts.filter(([, text]) => /express\.(?:json|urlencoded)\(.*web\.routes/.test(text))
  assert.deepEqual(
    wrong.map(([file]) => file),
    [],
  )
})

test('the Express app and the page, as printed, sign in and call', { timeout: 60_000 }, async (t) => {
  const { origin } = await startApp(t)
  const page = find('session.signIn(')

  const browser = await launchBrowser()
  t.after(() => browser.close())
  const tab = await browser.newPage()
  const imports = { 'daypass/client': '/daypass/index.js' }
  const html = `<script type="importmap">${JSON.stringify({ imports })}</script><script type="module">${page}</script>`
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
