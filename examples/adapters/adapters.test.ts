// Each example is started, and a client signs in, calls with an expired access token, and signs out.

import assert from 'node:assert/strict'
import { execFileSync, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from 'daypass/client'
import { readSnippet } from '../../test/docs/project.ts'
import { freePort } from '../../test/engines/free-port.ts'

const here = import.meta.dirname
const root = join(here, '../..')

/** Starts an example with an empty folder to work in. */
async function start(t: TestContext, file: string) {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-example-'))
  const port = await freePort()
  const { PATH } = process.env
  const child = fork(file, {
    cwd: folder,
    env: { PATH, PORT: String(port), DAYPASS_SECRET: randomBytes(48).toString('base64') },
    execArgv: [`--import=${import.meta.resolve('./clock.ts')}`],
    silent: true,
  })
  let output = ''
  child.stderr!.on('data', (text) => {
    output += text
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  })
  const origin = `http://localhost:${port}`
  const isUp = () =>
    fetch(`${origin}/me`).then(
      () => true,
      () => false,
    )
  for (const until = Date.now() + 30_000; !(await isUp()); await delay(50)) {
    if (child.exitCode !== null || Date.now() > until) assert.fail(`it does not start: ${output}`)
  }
  return {
    origin,
    async moveClock(milliseconds: number) {
      child.send(milliseconds)
      await once(child, 'message')
    },
  }
}

async function visit(t: TestContext, file: string): Promise<void> {
  const { origin, moveClock } = await start(t, file)
  const client = createClient({ baseUrl: `${origin}/auth`, transport: 'body' })
  const me = async () => {
    const response = await client.fetch(`${origin}/me`)
    return response.status === 200 ? response.json() : response.status
  }
  await assert.rejects(client.signIn({ name: 'ada', password: 'wrong' }), { status: 401 })
  await client.signIn({ name: 'ada', password: 'secret' })
  const ada = { subject: 'Ada', role: 'admin' }
  assert.deepEqual(await me(), ada)
  const before = await client.getAccessToken()

  // The client's clock stands still, so only the response of the server says that the access token has expired.
  await moveClock(3_600_000)
  const raw = () => fetch(`${origin}/me`, { headers: { authorization: `Bearer ${before}` } })
  assert.equal((await raw()).status, 401)
  assert.deepEqual(await Promise.all([me(), me(), me()]), [ada, ada, ada])
  const after = await client.getAccessToken()
  assert.notEqual(after, before)

  await client.signOut()
  assert.equal(client.getSession().status, 'signed-out')
  assert.equal((await fetch(`${origin}/me`, { headers: { authorization: `Bearer ${after}` } })).status, 401)
}

for (const name of ['express', 'fastify', 'node', 'hono', 'koa', 'fetch']) {
  test(name, { timeout: 60_000 }, (t) => visit(t, join(here, `${name}.ts`)))
}

/** The oldest NestJS that `daypass/nest` takes, which `.ci/run` installs. In CI a missing one is a failure. */
const older = join(root, '.cache/nest11/node_modules')
const noNest11 =
  !existsSync(older) &&
  'not run: npm install --prefix .cache/nest11 @nestjs/common@11 @nestjs/core@11 @nestjs/platform-express@11 reflect-metadata rxjs'
if (noNest11 && process.env.CI) throw new Error(noNest11)

describe('nest', () => {
  before(() => {
    const tsc = join(root, 'node_modules/.bin/tsc')
    execFileSync(tsc, ['-p', join(here, 'tsconfig.json'), '--noCheck'], { stdio: 'inherit' })
  })

  test('NestJS 12', { timeout: 60_000 }, (t) => visit(t, join(here, 'dist/nest.js')))

  test('NestJS 11', { timeout: 60_000, skip: noNest11 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'daypass-nest11-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const modules = join(folder, 'node_modules')
    // A copy: through a link, its imports would be found in the repository, which has NestJS 12.
    cpSync(join(root, 'dist'), join(modules, 'daypass/dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(modules, 'daypass/package.json'))
    for (const name of ['@nestjs', 'reflect-metadata', 'rxjs']) symlinkSync(join(older, name), join(modules, name))
    symlinkSync(join(root, 'node_modules/jose'), join(modules, 'jose'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    cpSync(join(here, 'dist/nest.js'), join(folder, 'nest.js'))
    await visit(t, join(folder, 'nest.js'))
  })
})

for (const [name, snippet] of Object.entries({ hono: 'hono.ts', koa: 'koa.ts', nest: 'nest.ts', fetch: 'auth.ts' })) {
  test(`docs/frameworks.md prints ${name}.ts, without the lines that start it`, () => {
    const lines = readFileSync(join(here, `${name}.ts`), 'utf8').split('\n')
    const printed = lines.filter((line, index) => {
      const isHead = index < 3 && (line.startsWith('// ') || line === '')
      return !isHead && !/\b(?:serve|NestFactory|listen)\b/.test(line)
    })
    const text = readSnippet('docs/frameworks.md', snippet).split('\n').slice(1).join('\n')
    assert.equal(text.trim(), printed.join('\n').trim())
  })
}
