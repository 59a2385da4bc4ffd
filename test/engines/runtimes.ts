// Finds Bun, Deno and workerd; `.ci/run` puts them into .cache/runtimes.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** A runtime beside Node, where it is installed. In CI a missing one is a failure. */
export function findRuntime(name: string): { program: string; version: string } | undefined {
  const places = [join(root, '.cache/runtimes/node_modules/.bin', name), name]
  for (const program of places.filter((place) => place === name || existsSync(place))) {
    try {
      const told = execFileSync(program, ['--version'], { encoding: 'utf8', stdio: 'pipe', timeout: 20_000 })
      return { program, version: /\d+[-.]\d+[-.]\d+/.exec(told)![0] }
    } catch {} // not here
  }
  if (process.env.CI) throw new Error(notInstalled(name))
}

/** Why a test of a runtime is skipped. */
export const notInstalled = (name: string) =>
  `not run: ${name} is not installed (npm install --prefix .cache/runtimes ${name})`
