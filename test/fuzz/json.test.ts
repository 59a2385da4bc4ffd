// Fuzzes the parsers of JSON: the parts of tokens, and the bodies of requests.

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { Script } from 'node:vm'
import fc from 'fast-check'
import { createFetchAuth, type Route } from '../../src/adapters/fetch.ts'
import { parseJson } from '../../src/json.ts'
import { parseStrictObject } from '../../src/verify/json.ts'
import { call, makeDaypass, ownPage, type Role, serve } from '../http/server.ts'
import { anyText, assertUnpolluted, changed, outcome, runs } from './setup.ts'

afterEach(assertUnpolluted)

/** JSON with objects as lists of members, so that a name can occur twice. */
type Tree = { members: [string, Tree][] } | { items: Tree[] } | { scalar: unknown }

const treesOf = (name: fc.Arbitrary<string>) =>
  fc.letrec<{ tree: Tree; object: Tree }>((tie) => ({
    object: fc.record({ members: fc.array(fc.tuple(name, tie('tree')), { maxLength: 4 }) }) as fc.Arbitrary<Tree>,
    tree: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      fc.record({
        scalar: fc.oneof(
          fc.string(),
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.boolean(),
          fc.constant(null),
        ),
      }) as fc.Arbitrary<Tree>,
      fc.record({ items: fc.array(tie('tree'), { maxLength: 3 }) }) as fc.Arbitrary<Tree>,
      tie('object'),
    ),
  }))
/** Letters and names that JSON can write without an escape. */
const plainUnit = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 1 })
  .filter((name) => JSON.stringify(name) === `"${name}"`)
const plainName = fc.string({ unit: plainUnit })
const plain = treesOf(fc.oneof(fc.constantFrom('a', 'b', '__proto__', 'constructor', 'é'), plainName))
/** Names that V8 confuses once it has read some of them (nodejs/node#63785). */
const escaped = treesOf(fc.stringMatching(/^[\\"\nau]{1,3}$/))

/** A text in JSON with unneeded escapes for some letters, so that one name has two spellings. */
const quote = (text: string, escaped: boolean) =>
  escaped
    ? `"${Array.from(text, (letter) => [...Array(letter.length).keys()].map((index) => `\\u${letter.charCodeAt(index).toString(16).padStart(4, '0')}`).join('')).join('')}"`
    : JSON.stringify(text)

function write(node: Tree, space: string, depth = 0): string {
  if ('scalar' in node) return JSON.stringify(node.scalar)
  if ('items' in node) return `[${node.items.map((item) => write(item, space, depth + 1)).join(`,${space}`)}]`
  const members = node.members.map(([name, value], index) => {
    return `${quote(name, (index + depth) % 2 === 1)}${space}:${write(value, space, depth + 1)}`
  })
  return `{${space}${members.join(`${space},`)}}`
}

/** A text in JSON as JavaScript reads it: a second parser. */
const evaluated = (text: string) => new Script(`(${text})`).runInThisContext() as unknown

/** Whether two parsers could read the text differently. */
function isAmbiguous(node: Tree): boolean {
  if ('scalar' in node) return false
  if ('items' in node) return node.items.some(isAmbiguous)
  // A lone half of a pair becomes the same bytes as any other; well-formed JSON.stringify escapes it, so names stay apart.
  const names = node.members.map(([name]) => name)
  if (names.includes('__proto__') || new Set(names).size < names.length) return true
  return node.members.some(([, value]) => isAmbiguous(value))
}

test('an object is read as JavaScript reads it, and rejected if two parsers could differ', () => {
  let [read, refused] = [0, 0]
  fc.assert(
    fc.property(fc.oneof(plain.object, plain.tree), fc.constantFrom('', ' ', '\n\t'), (node, space) => {
      const text = write(node, space)
      const value = outcome(() => parseStrictObject(Buffer.from(text)))
      if (!('members' in node) || isAmbiguous(node)) {
        refused++
        assert.equal(value, undefined, text)
      } else {
        read++
        assert.deepEqual(value, evaluated(text))
      }
    }),
    runs(5000),
  )
  assert.ok(read > 10 && refused > 10)
})

test('names of backslashes and quotes are read as written, whatever was read before (nodejs/node#63785)', () => {
  let [read, refused] = [0, 0]
  fc.assert(
    fc.property(escaped.object, fc.constantFrom('', ' '), (node, space) => {
      const text = write(node, space)
      const value = outcome(() => parseStrictObject(Buffer.from(text)))
      assert.deepEqual(value, isAmbiguous(node) ? undefined : evaluated(text), text)
      if (value === undefined) refused++
      else read++
      // Of a name that is there twice, the last counts.
      assert.deepEqual(parseJson(text), evaluated(text))
    }),
    runs(5000),
  )
  assert.ok(read > 10 && refused > 10)
})

test('a value that looks like a name stays a value, and what is no JSON stays an error', () => {
  const value = { list: ['x', ':\n', '":"'], text: '{"a":1}' }
  assert.deepEqual(parseJson(JSON.stringify(value)), value)
  // JSON knows no such space before a colon.
  assert.throws(() => parseJson('{"a"\u00a0:"\\n"}'), SyntaxError)
  assert.throws(() => parseJson('{"\\x":1}'), SyntaxError)
})

test('32 levels are accepted, and no more', () => {
  const nested = (open: string, close: string, depth: number) => `{"a":${open.repeat(depth)}1${close.repeat(depth)}}`
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 70 }), fc.boolean(), (depth, lists) => {
      const text = lists ? nested('[', ']', depth) : nested('{"b":', '}', depth)
      assert.equal(parseStrictObject(Buffer.from(text)) !== undefined, depth < 32)
    }),
    runs(200),
  )
})

test('any bytes give an object or undefined, and never an error', () => {
  const near = changed('{"iss":"https://id.example","a":[1,{"b":"\\u0061"}],"c":1e400}').map((text) =>
    Buffer.from(text),
  )
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array(), near), (bytes) => {
      const value = outcome(() => parseStrictObject(bytes))
      if (value === undefined) return
      assert.deepEqual(value, evaluated(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    }),
    runs(5000),
  )
})

test('any body, of any type and length: an object, or an error that quotes nothing of it', async () => {
  const auth = makeDaypass().auth
  const type = fc.oneof(
    fc.constantFrom('application/json', 'application/json; charset=utf-8', 'APPLICATION/JSON ', 'text/plain', ''),
    fc.string(),
  )
  const body = fc.oneof(
    fc.json({ stringUnit: plainUnit }),
    anyText,
    fc.object({ key: plainName }).map((value) => JSON.stringify(value)),
    changed('{"refreshToken":"dpr_canary"}'),
  )
  await fc.assert(
    fc.asyncProperty(body, type, fc.integer({ min: 1, max: 400 }), async (text, contentType, limit) => {
      const bytes = Buffer.from(text)
      const headers = new Headers()
      try {
        headers.set('content-type', contentType)
      } catch {
        return // Not even a header.
      }
      let value: unknown
      const route: Route<Role> = {
        method: 'POST',
        path: '/read',
        access: 'page',
        async run({ readBody }) {
          value = await readBody()
          return {}
        },
      }
      const web = createFetchAuth(auth, { routes: [route], bodyLimit: limit })
      const response = await web.routes(
        new Request('https://id.example/read', { method: 'POST', body: bytes, headers }),
      )
      assert.ok([204, 400, 413, 415].includes(response!.status))
      assert.doesNotMatch(await response!.text(), /canary/)
      if (value === undefined) return
      assert.ok(bytes.length <= limit)
      assert.equal(Object.getPrototypeOf(value), Object.prototype)
      assert.deepEqual(value, bytes.length === 0 ? {} : JSON.parse(bytes.toString()))
    }),
    runs(2000),
  )
})

test('any body over a socket: rejected with an error of ours, and the server handles the next request', async (t) => {
  const { origin, errors } = await serve(t)
  const body = fc.oneof(fc.json(), anyText, changed('{"name":"ada","transport":"body","refreshToken":"dpr_x"}'))
  await fc.assert(
    fc.asyncProperty(body, fc.constantFrom('refresh', 'login', 'logout'), async (text, path) => {
      const headers = { ...ownPage, 'content-type': 'application/json' }
      const response = await call(origin, `POST /auth/${path}`, { body: Buffer.from(text), headers })
      // A sign-out without a token, or with an invalid one, is no error (RFC 7009 §2.2).
      const expected = path === 'logout' ? [204, 400] : [400, 401]
      assert.ok(expected.includes(response.status), `${response.status} ${response.text}`)
      if (response.status !== 204) assert.match(response.json.code, /^ERR_/)
    }),
    runs(300),
  )
  assert.deepEqual(errors, [])
})
