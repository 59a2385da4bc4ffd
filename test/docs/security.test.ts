// docs/security.md is complete, and every test that it names exists.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/security.md'), 'utf8')

/** The entries of the attack table. Remove an entry only if the attack is no longer possible. */
const attacks = [
  'alg none',
  'null or blank signature',
  'dots stripped',
  'empty-secret HMAC',
  'public key as HMAC secret',
  'embedded jwk, jku, x5u',
  'kid traversal, SQL, command, blank',
  'PS256/RS256 swap',
  'ES256 r or s of 0, 1, n; DER',
  'JWE, zip bomb, p2c',
  '1 MB token, deep JSON',
  'JSON-serialised JWS',
  'access token at the refresh endpoint and the reverse',
  "another client's or key's refresh token",
  "a database's operator as a token",
  'sign-out racing refresh',
  'revoke-all racing sign-in',
  'cross-tenant kid and jti',
  'CDN caching a Set-Cookie',
]
/** The lines whose endpoint or option is not built yet. */
const unbuilt = [13, 21, 23, 24, 25, 27]

/** Rows of the tables, by their first cell. */
const rows = [...page.matchAll(/^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(([, name, says, tests]) => ({
  name: name!,
  says: says!,
  tests: tests!,
}))

/** Every quote of a test's name: `file`: “name”, “name”; `file`: “name”. */
const named = [...page.matchAll(/`((?:test|src)\/[\w./-]+\.ts)`: (“[^”]+”(?:, “[^”]+”)*)/g)].flatMap(
  ([, file, names]) => [...names!.matchAll(/“([^”]+)”/g)].map(([, name]) => ({ file: file!, name: name! })),
)

/**
 * The names of a file's tests, as written in the source: the first argument of a function that makes a test, the first
 * member of a row in a table of tests, or a property name in such a table. Names made in a loop keep their `${…}`.
 */
function testNames(file: string): Set<string> {
  const source = readFileSync(join(root, file), 'utf8')
  const places =
    /(?:\b(?:test|describe|rule|onEachStore)\(\s*|\[\s*|^ {2}(?='[^']+':))(['"`])((?:\\.|(?!\1)[^\\])*)\1/gm
  return new Set([...source.matchAll(places)].map(([, , name]) => name!))
}

test('each of the 43 lines is there once, in order, with its tests; each later line at most once', () => {
  const lines = rows.filter(({ name }) => /^\d+$/.test(name))
  const numbers = lines.map(({ name }) => Number(name))
  assert.deepEqual(
    numbers.slice(0, 43),
    Array.from({ length: 43 }, (_, index) => index + 1),
  )
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
  )
  for (const { name, says } of lines) {
    assert.equal(/not built yet/i.test(says), unbuilt.includes(Number(name)), `line ${name}: built or not`)
  }
})

test('each attack of the table is there once', () => {
  const table = page.slice(page.indexOf('\n## Attacks\n'), page.indexOf('\n## Lessons'))
  const inTable = rows.filter(({ name }) => table.includes(`| ${name} |`) && attacks.includes(name))
  assert.deepEqual(
    inTable.map(({ name }) => name),
    attacks,
  )
})

test('every row names tests, and every named test is in its file', () => {
  for (const { name, tests } of rows.filter(({ says }) => !/^(must hold|rejected by|the lesson)$|^-+$/.test(says))) {
    assert.match(tests, /^`[\w./-]+`: “/, `“${name}” has no test`)
    // The whole cell must consist of names, so that no typing error hides a name.
    const rest = tests.replaceAll(/`[\w./-]+\.ts`: (“[^”]+”(?:, )?)+/g, '').replaceAll('; ', '')
    assert.equal(rest, '', `“${name}”: ${rest}`)
  }
  assert.ok(named.length > 130, `only ${named.length} tests were read`)
  const unknown = named.filter(({ file, name }) => !testNames(file).has(name))
  assert.deepEqual(unknown, [], 'no such tests')
})

test('every file of attacks and fuzzing is on the page', () => {
  const files = globSync(['test/attacks/*.test.ts', 'test/fuzz/*.test.ts'], { cwd: root })
  assert.ok(files.length >= 7)
  for (const file of files)
    assert.ok(
      named.some((each) => each.file === file),
      `${file} is named nowhere`,
    )
})
