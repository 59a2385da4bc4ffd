// daypass/verify runs on every platform with Web standards.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { audience, issuer, jwks, makeToken, now } from './tokens.ts'

const verifier = new URL('../../src/verify/index.ts', import.meta.url).href

/** Runs in its own process: records every imported module, and removes globals that only Node has. */
const program = (globals: string[]) => `
  import { registerHooks } from 'node:module'
  const asked = []
  registerHooks({
    resolve(specifier, context, next) {
      asked.push([specifier, context.parentURL])
      return next(specifier, context)
    },
  })
  const print = console.log
  for (const name of ${JSON.stringify(globals)}) delete globalThis[name]
  const { createVerifier } = await import(${JSON.stringify(verifier)})
  const options = ${JSON.stringify({ issuer, audience, jwks })}
  const { subject } = await createVerifier({ ...options, clock: () => ${now} }).verify(${JSON.stringify(makeToken())})
  print(JSON.stringify({ subject, asked, left: typeof process + typeof Buffer }))
`

function run(globals: string[]) {
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', program(globals)], { encoding: 'utf8' })
  const { subject, asked, left } = JSON.parse(out) as { subject: string; asked: [string, string][]; left: string }
  assert.equal(subject, 'user-1')
  assert.ok(asked.length > 10, 'the modules were recorded')
  const ours = asked.filter(([, parent]) => parent?.includes('/src/')).map(([specifier]) => specifier)
  const imported = [...new Set(ours.filter((specifier) => !specifier.startsWith('.')))]
  return { imported, fromNode: asked.filter(([specifier]) => specifier.startsWith('node:')), left }
}

test('without Node’s globals, daypass/verify imports no node: module and no package but jose', () => {
  const { imported, fromNode, left } = run(['Buffer', 'process', 'setImmediate', 'clearImmediate', 'global'])
  assert.equal(left, 'undefinedundefined')
  assert.deepEqual(imported, ['jose'])
  assert.deepEqual(fromNode, [], 'jose included')
})

test('a runtime with one of the two modules is one without them', async (t) => {
  const get = process.getBuiltinModule
  for (const missing of ['node:crypto', 'node:buffer']) {
    t.mock.method(process, 'getBuiltinModule', (name: string) => (name === missing ? undefined : get(name)))
    const { node } = await import(`../../src/verify/node.ts?without-${missing}`)
    assert.equal(node, undefined)
    t.mock.restoreAll()
  }
})

test('where node:crypto is, jose is not loaded', () => {
  assert.deepEqual(run([]).imported, [])
})
