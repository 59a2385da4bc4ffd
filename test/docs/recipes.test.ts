// The caches of docs/recipes.md, as printed: they stay signed in, and forget a person who has left.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type DaypassClient, isOffline } from '../../src/client/index.ts'
import type { DaypassServer, Fault } from '../client/daypass-server.ts'
import { readSnippet } from './project.ts'
import { loadRecipe } from './recipes.ts'

const page = 'docs/recipes.md'

/** How a call of a library ended. */
interface Outcome {
  subject?: string | undefined
  status?: number | undefined
  error?: unknown
}

interface Library {
  files: string[]
  packages: string[]
  isGraphql?: true
  /** Sends a call, also where its response is cached. */
  ask(modules: any[]): Promise<Outcome>
  /** Sends a call with this in its body. */
  send?(modules: any[], text: string): Promise<Outcome>
  /** The cached subject, without a call. */
  cached(modules: any[]): Promise<unknown>
  /** Whether an error of the client comes out as it is. */
  hidesErrors?: true
}

const failed = (error: any): Outcome => ({ status: error.statusCode ?? error.status, error })

const libraries: Record<string, Library> = {
  'TanStack Query': {
    files: ['queries.ts'],
    packages: ['@tanstack/query-core'],
    ask: ([{ queries, me }]) => queries.fetchQuery(me).catch((error: Error) => ({ error, status: error.cause })),
    cached: async ([{ queries }]) => queries.getQueryData(['me'])?.subject,
  },
  'RTK Query': {
    files: ['store.ts'],
    packages: ['@reduxjs/toolkit'],
    async ask([{ store, api }]) {
      const asked = store.dispatch(api.endpoints.me.initiate(undefined, { forceRefetch: true, subscribe: false }))
      const { data, error } = await asked
      return { subject: data?.subject, status: error?.status, error: error?.error }
    },
    async send([{ store, api }], text) {
      const { data, error } = await store.dispatch(api.endpoints.rename.initiate(text))
      return { subject: data?.subject, status: error?.status, error: error?.error }
    },
    cached: async ([{ store, api }]) => api.endpoints.me.select()(store.getState()).data?.subject,
    hidesErrors: true,
  },
  'Apollo Client': {
    files: ['apollo.ts', 'graphql-server.ts'],
    packages: ['@apollo/client', 'graphql', 'rxjs'],
    isGraphql: true,
    async ask([{ apollo }]) {
      const { gql } = await import('@apollo/client')
      return apollo
        .query({ query: gql`query { me }`, fetchPolicy: 'network-only' })
        .then(({ data }: any) => ({ subject: data.me }), failed)
    },
    async cached([{ apollo }]) {
      const { gql } = await import('@apollo/client')
      return apollo.readQuery({ query: gql`query { me }` })?.me
    },
  },
  urql: {
    files: ['urql.ts', 'graphql-server.ts'],
    packages: ['@urql/core', 'graphql'],
    isGraphql: true,
    async ask([module]) {
      const { data, error } = await module.urql.query('{ me }', {}, { requestPolicy: 'network-only' }).toPromise()
      return { subject: data?.me, status: error?.response?.status, error: error?.networkError }
    },
    cached: async ([module]) => module.urql.readQuery('{ me }', {})?.data?.me,
  },
}

// The library's own error of a 401 gets out as well, if nothing clears a cache meanwhile.
test('Apollo Client and urql: a 401 for a token that stays rejected', async (t) => {
  for (const name of ['Apollo Client', 'urql']) {
    const library = libraries[name]!
    const { server, modules } = await loadRecipe(t, page, library)
    server.api = async () => Response.json({ error: 'invalid_token' }, { status: 401 })
    assert.equal((await library.ask(modules)).status, 401)
    assert.equal(server.refreshes(), 1)
  }
})

for (const [name, library] of Object.entries(libraries)) {
  const start = async (t: TestContext) => {
    const started = await loadRecipe(t, page, library)
    const { server, modules } = started
    if (library.isGraphql) server.api = modules[1].createGraphql(server.web)
    return { ...started, ask: () => library.ask(modules), cached: () => library.cached(modules) }
  }
  const calls = ({ seen }: DaypassServer) => seen.filter(({ path }) => path.startsWith('/api/')).length

  test(`${name}: an expired token costs one refresh, and is not seen`, async (t) => {
    const { server, modules, ask, cached } = await start(t)
    server.expireTokens()
    const subjects = await Promise.all(Array.from({ length: 3 }, async () => (await ask()).subject))
    assert.deepEqual(new Set(subjects), new Set(['ada']))
    assert.equal(server.refreshes(), 1)
    assert.ok(calls(server) >= 2)
    assert.equal(await cached(), 'ada')

    server.expireTokens()
    if (library.send) assert.equal((await library.send(modules, 'ü')).subject, 'ada')
    const sent = server.seen.filter(({ method, path }) => method === 'PATCH' && path.startsWith('/api/'))
    assert.deepEqual([...new Set(sent.map(({ body }) => String(body)))], library.send ? ['{"name":"ü"}'] : [])
    assert.equal(sent.length, library.send ? 2 : 0)
  })

  test(`${name}: a session that the server has ended is a 401, and the cache is empty`, async (t) => {
    const { server, client, ask, cached } = await start(t)
    assert.equal((await ask()).subject, 'ada')
    await server.revokeSessions()
    assert.equal((await ask()).subject, undefined)
    assert.equal(client.getSession().status, 'signed-out')
    assert.equal(await cached(), undefined)
    const before = calls(server)
    const { subject, status } = await ask()
    // The GraphQL server of the page lets visitors in.
    assert.deepEqual([subject ?? undefined, status], [undefined, library.isGraphql ? undefined : 401])
    assert.deepEqual([server.refreshes(), calls(server)], [1, before + 1])
  })

  test(`${name}: a sign-out ends a call that waits, and the cache is empty`, async (t) => {
    const { server, client, ask, cached } = await start(t)
    await ask()
    server.expireTokens()
    const held = server.holdRefresh()
    const outcome = ask()
    await held.asked
    await client.signOut()
    const { subject } = await outcome
    held.answer()
    assert.equal(subject, undefined)
    assert.equal(await cached(), undefined)
    assert.equal((await ask()).subject ?? undefined, undefined)
    assert.equal(server.refreshes(), 1)
  })

  test(`${name}: a server in trouble is the client’s own error`, async (t) => {
    const { server, ask } = await start(t)
    server.expireTokens()
    server.faults.push(...Array<Fault>(20).fill((response) => response.writeHead(500).end()))
    const { error } = await ask()
    if (library.hidesErrors) assert.match(String(error), /DaypassClientError/)
    else assert.ok(isOffline(error), String(error))
    server.faults.length = 0
    assert.equal((await ask()).subject, 'ada')
  })

  test(`${name}: another person who signs in finds nothing of the first`, async (t) => {
    const { client, ask, cached } = await start(t)
    await ask()
    assert.equal(await cached(), 'ada')
    await signInAs(client, 'bob')
    assert.notEqual(await cached(), 'ada')
    assert.equal((await ask()).subject, 'bob')
    assert.equal(await cached(), 'bob')
  })
}

test('a cache that comes after the sign-in is cleared for the next person, and once for each', async (t) => {
  const { client, exports } = await loadRecipe(t, page, { files: [], packages: [] })
  let cleared = 0
  t.after(exports.onPersonChange(() => cleared++))
  await signInAs(client, 'bob')
  assert.equal(cleared, 1)
  await client.getAccessToken({ forceFresh: true })
  await signInAs(client, 'bob')
  assert.equal(cleared, 1)
  await client.signOut()
  await signInAs(client, 'bob')
  assert.equal(cleared, 2)
})

test('TanStack Query: a query that is cancelled stops waiting, and the refresh goes on for the others', async (t) => {
  const { server, modules } = await loadRecipe(t, page, libraries['TanStack Query']!)
  const [{ queries, me }] = modules
  server.expireTokens()
  const held = server.holdRefresh()
  const cancelled = assert.rejects(queries.fetchQuery(me), /CancelledError/)
  await held.asked
  const other = queries.fetchQuery({ ...me, queryKey: ['other'] })
  await queries.cancelQueries({ queryKey: ['me'] })
  await cancelled
  held.answer()
  assert.equal((await other).subject, 'ada')
  assert.equal(server.refreshes(), 1)
})

test('tRPC: a batch goes through an expired token, and a session that has ended is a 401', async (t) => {
  const { createTRPCClient } = await import('@trpc/client')
  const packages = ['@trpc/client', '@trpc/server']
  const { server, client, modules, write } = await loadRecipe(t, page, { files: ['trpc-client.ts'], packages })
  // The server of docs/frameworks.md, on this test's Daypass.
  Object.assign(globalThis, { webOfTest: server.web })
  write('auth.ts', 'export const web = globalThis.webOfTest')
  const code = readSnippet('docs/frameworks.md', 'trpc.ts').replace("'/trpc'", "'/api/trpc'")
  const { respond } = await import(write('trpc.ts', code))
  server.api = (request) => respond(request)
  const api: any = createTRPCClient({ links: modules[0].links })
  const ask = () => Promise.all([api.hello.query(), api.me.query()])

  server.expireTokens()
  assert.deepEqual(await ask(), ['Hello', { subject: 'ada' }])
  const batches = server.seen.filter(({ path }) => path === '/api/trpc/hello,me')
  assert.deepEqual([batches.length, server.refreshes()], [2, 1])

  server.expireTokens()
  server.faults.push(...Array<Fault>(20).fill((response) => response.writeHead(500).end()))
  await assert.rejects(ask(), ({ cause }: Error) => isOffline(cause))
  server.faults.length = 0
  await server.revokeSessions()
  await assert.rejects(ask(), ({ meta }: any) => meta.response.status === 401)
  assert.equal(client.getSession().status, 'signed-out')
  assert.equal(await api.hello.query(), 'Hello')
})

async function signInAs(client: DaypassClient, name: string): Promise<void> {
  await client.signIn({ password: 'right', name })
  await new Promise(setImmediate)
}
