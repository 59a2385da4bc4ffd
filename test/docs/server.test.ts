// docs/server.md has every option, method and event of the server, docs/options.md every option, and nothing that does not exist.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pages, readMembers, renderReference, tablesOf } from '../../scripts/reference.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const page = read('docs/server.md')
const tables = tablesOf(page)

/** The entries of the server's half. */
const entries = ['daypass', 'express', 'fastify', 'hono', 'koa', 'node', 'fetch', 'verify']
/** The interfaces that are no options, and that an app meets. */
const met = ['Daypass', 'Verifier', 'EventDetails', 'EventBase', 'SessionInfo', 'FoundSession', 'Tokens', 'AccessToken']

/** The interfaces of an entry by its API report, which API Extractor makes of the built types. */
function interfacesOf(entry: string): { name: string; members: string[] }[] {
  const report = read(`api/${entry}.api.md`)
  return [...report.matchAll(/^(?:export )?(?:interface|abstract class) (\w+)[\s\S]*?^\}/gm)].map(
    ([text, name = '']) => ({
      name,
      members: [...text.matchAll(/^ {4}(?:abstract |readonly )?(\w+)\??(?=[:(<])/gm)].map(([, member = '']) => member),
    }),
  )
}

for (const page of pages) {
  test(`the tables of ${page} are those of the types: npm run reference`, () => {
    assert.equal(read(page), renderReference(read(page)))
  })
}

test('each table has each member that the built type has', () => {
  // Two entries may extend one interface under the same name.
  const all = Map.groupBy(entries.flatMap(interfacesOf), ({ name }) => name)
  let count = 0
  for (const { name, file } of tables) {
    const members = [...new Set(all.get(name)?.flatMap(({ members }) => members))]
    // A union of strings is no interface.
    if (name === 'RevokedReason') continue
    assert.ok(members.length > 0, `${name} is public`)
    const documented = readMembers(read(`src/${file}`), name).map((member) => member.name)
    assert.deepEqual(documented.sort(), members.sort(), name)
    count += members.length
  }
  assert.ok(count > 100, `only ${count} members`)
})

test('each interface of options, methods and events has a table', () => {
  const documented = new Set(tables.map(({ name }) => name))
  const options = entries.flatMap(interfacesOf).map(({ name }) => name)
  const names = [...options.filter((name) => /Options$/.test(name) && name !== 'DaypassErrorOptions'), ...met]
  assert.ok(names.length > 12)
  assert.deepEqual(
    names.filter((name) => !documented.has(name)),
    [],
  )
})

/** Interfaces whose members are no choice of the app's, and those of tests. */
const elsewhere = [
  'DaypassErrorOptions',
  'CallOptions',
  'CrashKitOptions',
  'ConcurrencyKitOptions',
  'FaultyProxyOptions',
]

test('docs/options.md has each option of every entry', () => {
  const tables = tablesOf(read('docs/options.md'))
  const reports = globSync('api/*.api.md', { cwd: root }).map((file) => file.slice('api/'.length, -'.api.md'.length))
  const all = Map.groupBy(reports.flatMap(interfacesOf), ({ name }) => name)
  const isDocumented = ([name, types]: [string, { members: string[] }[]]) =>
    /Options$/.test(name) && !elsewhere.includes(name) && types.some(({ members }) => members.length > 0)
  const names = [...all].filter(isDocumented).map(([name]) => name)
  assert.ok(names.length > 20, `only ${names.length} interfaces`)
  assert.deepEqual(
    names.filter((name) => !tables.some((table) => table.name === name)),
    [],
  )
  for (const { name, file } of tables) {
    const members = [...new Set(all.get(name)?.flatMap(({ members }) => members))]
    const documented = readMembers(read(`src/${file}`), name).map((member) => member.name)
    assert.deepEqual(documented.sort(), members.sort(), name)
  }
})

test('every adapter has the members of the table', () => {
  const membersOf = (entry: string, name: string) =>
    interfacesOf(entry)
      .find((one) => one.name === name)
      ?.members.sort()
  const express = membersOf('express', 'ExpressAuth')
  assert.ok(express && express.length >= 5)
  assert.deepEqual(membersOf('fastify', 'FastifyAuth'), express)
  assert.deepEqual(membersOf('hono', 'HonoAuth'), express)
  assert.deepEqual(membersOf('koa', 'KoaAuth'), express)
  assert.deepEqual(membersOf('nest', 'NestAuth'), express)
  assert.deepEqual(membersOf('node', 'NodeAuth'), express)
  assert.deepEqual(membersOf('fetch', 'FetchAuth'), express)
})
