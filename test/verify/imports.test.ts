// daypass/verify runs on every platform with Web standards.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { audience, issuer, jwks, makeToken, now } from './tokens.ts'

const verifier = new URL('../../src/verify/index.ts', import.meta.url).href

/** Runs in its own process: records every imported module, and removes the globals that only Node has. */
const program = `
  import { registerHooks } from 'node:module'
  const asked = []
  registerHooks({
    resolve(specifier, context, next) {
      asked.push([specifier, context.parentURL])
      return next(specifier, context)
    },
  })
  const { createVerifier } = await import(${JSON.stringify(verifier)})
  const print = console.log
  for (const name of ['Buffer', 'process', 'setImmediate', 'clearImmediate', 'global']) delete globalThis[name]
  const options = ${JSON.stringify({ issuer, audience, jwks })}
  const { subject } = await createVerifier({ ...options, clock: () => ${now} }).verify(${JSON.stringify(makeToken())})
  print(JSON.stringify({ subject, asked, left: typeof process + typeof Buffer }))
`

test('daypass/verify imports no node: module and no package but jose, and works without Node’s globals', () => {
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' })
  const { subject, asked, left } = JSON.parse(out) as { subject: string; asked: [string, string][]; left: string }
  assert.equal(subject, 'user-1')
  assert.equal(left, 'undefinedundefined')
  assert.ok(asked.length > 10, 'the modules were recorded')
  const ours = asked.filter(([, parent]) => parent?.includes('/src/')).map(([specifier]) => specifier)
  assert.deepEqual([...new Set(ours.filter((specifier) => !specifier.startsWith('.')))], ['jose'])
  const fromNode = asked.filter(([specifier]) => specifier.startsWith('node:'))
  assert.deepEqual(fromNode, [], 'jose included')
})
