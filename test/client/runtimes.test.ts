// The published client in Bun, Deno and workerd.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { findRuntime, notInstalled } from '../engines/runtimes.ts'
import { startDaypass } from './daypass-server.ts'
import type { Driver } from './drivers.ts'
import type { Told } from './live.ts'
import { type RemoteDriver, scenarios } from './scenarios.ts'
import { startWorkerd } from './workerd.ts'

const root = join(import.meta.dirname, '../..')
const entry = pathToFileURL(join(root, 'dist/client/index.js')).href
const script = join(import.meta.dirname, 'elsewhere.mjs')

/** How each is started; `.ci/run` puts them into .cache/runtimes. */
const runtimes: Record<string, string[]> = {
  node: [process.execPath],
  bun: ['bun', 'run'],
  deno: ['deno', 'run', '--no-config', '--allow-net', '--allow-read', '--allow-env'],
}

const title = (name: string) =>
  `a whole session in ${name}: a lost answer, ten calls refused at once, a process that begins anew`

/** Lets a runtime play a whole session, and checks what it printed. */
async function playSession(t: TestContext, play: (url: string) => Promise<Told>): Promise<void> {
  const server = await startDaypass(t)
  const { api } = server
  server.api = async (request, one) => {
    if (one.path !== '/api/expire') return api(request, one)
    server.expireTokens()
    server.faults.push(async (response, commit) => {
      await commit()
      response.destroy()
    })
    return new Response('they have ended')
  }
  const told = await play(server.url)
  assert.equal(told.posted, 'first')
  assert.deepEqual(
    told.ten,
    Array.from({ length: 10 }, (_, n) => `body ${n}`),
  )
  assert.equal(told.again, 'again')
  assert.equal(told.after, 'sign-out')
  assert.ok(told.states.includes('signed-in') && told.states.includes('signed-out'), told.states.join())
  // One for all ten, asked twice because its answer was lost; one of the process that began anew.
  const outcomes = server.events.map(({ type }) => type).filter((type) => type === 'rotated' || type === 'replayed')
  assert.deepEqual(outcomes, ['rotated', 'replayed', 'rotated'])
}

for (const [name, [program, ...flags]] of Object.entries(runtimes)) {
  const found = name === 'node' ? { program: program!, version: process.versions.node } : findRuntime(name)
  const notRun = found ? false : notInstalled(name)

  test(title(name), { skip: notRun, timeout: 60_000 }, async (t) => {
    await playSession(t, async (url) => {
      const { stdout } = await promisify(execFile)(found!.program, [...flags, script, entry, url], { timeout: 50_000 })
      return JSON.parse(stdout)
    })
    t.diagnostic(`engine: ${name} ${found!.version} (the client)`)
  })
  if (notRun) test(`that ${name} did not run is told`, (t) => t.diagnostic(`engine: ${name} ${notRun}`))
}

const workerd = findRuntime('workerd')
const skip = workerd ? false : notInstalled('workerd')
const app = join(import.meta.dirname, 'workerd-app.ts')

test(title('one request of workerd'), { skip, timeout: 60_000 }, async (t) => {
  const worker = await startWorkerd(t, workerd!.program, app)
  await playSession(t, async (url) => {
    const response = await fetch(`${worker}/live?at=${encodeURIComponent(url)}`)
    const text = await response.text()
    assert.equal(response.status, 200, text)
    return JSON.parse(text)
  })
  t.diagnostic(`engine: workerd ${workerd!.version} (the client)`)
})
if (skip) test('that workerd did not run is told', (t) => t.diagnostic(`engine: workerd ${skip}`))

describe('all scenarios in a Durable Object of workerd', { skip, timeout: 120_000 }, () => {
  let apps = 0
  let worker: string
  const ends: (() => unknown)[] = []
  before(async () => {
    worker = await startWorkerd({ after: (end) => ends.push(end) }, workerd!.program, app)
  })
  after(() => Promise.all(ends.map((end) => end())))
  for (const how of ['fetch', 'axios']) {
    for (const [scenario, play] of Object.entries(scenarios)) {
      test(`${how}: ${scenario}`, async (t) => {
        const server = await startDaypass(t)
        const url = `${worker}/person-${++apps}`
        const open = (): RemoteDriver => {
          const one = ++apps
          const remote =
            (name: keyof Driver) =>
            async (...given: unknown[]) => {
              const body = JSON.stringify({ baseUrl: `${server.url}/auth`, how, app: one, name, given })
              return (await fetch(url, { method: 'POST', body })).json()
            }
          const [signIn, signOut] = [remote('signIn'), remote('signOut')]
          return { signIn, signOut, call: remote('call'), session: remote('session') }
        }
        await play({
          server,
          driver: open(),
          restart: async () => open(),
          setOffline: async (isOffline) => server.setAway(isOffline),
        })
      })
    }
  }
})
