// The published client in Bun and in Deno.

import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { startDaypass } from './daypass-server.ts'

const root = join(import.meta.dirname, '../..')
const entry = pathToFileURL(join(root, 'dist/client/index.js')).href
const script = join(import.meta.dirname, 'elsewhere.mjs')

/** How each is started; `.ci/run` puts them into .cache/runtimes. */
const runtimes: Record<string, string[]> = {
  node: [process.execPath],
  bun: ['bun', 'run'],
  deno: ['deno', 'run', '--no-config', '--allow-net', '--allow-read', '--allow-env'],
}

function find(name: string): { program: string; version: string } | undefined {
  const places = [join(root, '.cache/runtimes/node_modules/.bin', name), name]
  for (const program of places.filter((place) => place === name || existsSync(place))) {
    try {
      const told = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: 'pipe', timeout: 20_000 })
      return { program, version: /\d+\.\d+\.\d+/.exec(told)![0] }
    } catch {} // not here
  }
}

for (const [name, [program, ...flags]] of Object.entries(runtimes)) {
  const found = name === 'node' ? { program: program!, version: process.versions.node } : find(name)
  const notRun = found ? false : `not run: ${name} is not installed (npm install --prefix .cache/runtimes ${name})`

  test(`a whole session in ${name}: a lost answer, ten calls refused at once, a process that begins anew`, {
    skip: notRun,
    timeout: 60_000,
  }, async (t) => {
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
    const { stdout } = await promisify(execFile)(found!.program, [...flags, script, entry, server.url], {
      timeout: 50_000,
    })
    const told = JSON.parse(stdout)
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
    t.diagnostic(`engine: ${name} ${found!.version} (the client)`)
  })
  if (notRun) test(`that ${name} did not run is told`, (t) => t.diagnostic(`engine: ${name} ${notRun}`))
}
