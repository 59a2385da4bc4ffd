// The recipes for TanStack Query and Vue, with the real libraries.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { QueryClient } from '@tanstack/query-core'
import { createRenderer, h, nextTick } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { type DaypassClient, isSignedOut } from '../../src/client/index.ts'
import { createProject, readSnippet } from '../docs/project.ts'
import { startWithClient } from './daypass-server.ts'

test('TanStack Query: ten queries cost one refresh, a sign-out is not retried and empties the cache', async (t) => {
  const { server, client, api } = await startWithClient(t)
  let failures = 0
  const queries = new QueryClient({
    defaultOptions: { queries: { retry: (count, error) => !isSignedOut(error) && count < 3, retryDelay: 0 } },
  })
  t.after(() => queries.clear())
  const ask = (n: number) =>
    queries.fetchQuery({
      queryKey: ['me', n],
      async queryFn({ signal }) {
        const response = await client.fetch(api, { signal }).catch((error) => {
          failures++
          throw error
        })
        if (!response.ok) throw new Error(`HTTP ${response.status}`)
        return (await response.json()).subject as string
      },
    })

  server.expireTokens()
  const subjects = await Promise.all(Array.from({ length: 10 }, (_, n) => ask(n)))
  assert.deepEqual(new Set(subjects), new Set(['ada']))
  assert.equal(server.refreshes(), 1)

  // A query that is cancelled stops waiting; the refresh goes on.
  server.expireTokens()
  let held = server.holdRefresh()
  const cancelled = assert.rejects(ask(10), /CancelledError/)
  await held.asked
  await queries.cancelQueries({ queryKey: ['me', 10] })
  await cancelled
  held.answer()
  assert.equal(await ask(11), 'ada')
  assert.equal(server.refreshes(), 2)

  server.expireTokens()
  held = server.holdRefresh()
  failures = 0
  const asked = assert.rejects(ask(12), isSignedOut)
  await held.asked
  await client.signOut()
  await asked
  held.answer()
  assert.equal(failures, 1)

  t.after(
    client.subscribe(() => {
      if (client.getSession().status === 'signed-out') queries.clear()
    }),
  )
  await client.signIn({ password: 'right' })
  assert.equal(await ask(13), 'ada')
  assert.notDeepEqual(queries.getQueryCache().getAll(), [])
  await client.signOut()
  await new Promise(setImmediate)
  assert.deepEqual(queries.getQueryCache().getAll(), [])
})

/** Renders into plain objects, because Node has no document. */
const { createApp } = createRenderer<any, any>({
  createElement: () => ({ children: [] }),
  createText: (text) => ({ text }),
  createComment: () => ({}),
  setText: (node, text) => Object.assign(node, { text }),
  setElementText: (node, text) => Object.assign(node, { text }),
  insert: (node, parent) => Object.assign(node, { parent }) && parent.children.push(node),
  remove: ({ parent }) => parent.children.pop(),
  parentNode: ({ parent }) => parent,
  nextSibling: () => null,
  patchProp() {},
})

test('Vue: a component shows the session while it is mounted, and rendering on a server asks nobody', async (t) => {
  const { server, client } = await startWithClient(t)
  let listeners = 0
  const counted: DaypassClient = {
    ...client,
    subscribe(listener) {
      listeners++
      const stop = client.subscribe(listener)
      return () => {
        listeners--
        stop()
      }
    },
  }
  const { write } = createProject(t, ['vue'])
  const { useSession } = await import(write('use-session.ts', readSnippet('docs/recipes.md', 'use-session.ts')))
  const Who = {
    setup() {
      const session = useSession(counted)
      return () => h('p', `${session.value.status} ${session.value.session?.subject}`)
    },
  }

  assert.equal(await renderToString(h(Who)), '<p>unknown undefined</p>')
  assert.equal(listeners, 0)

  const page: any = { children: [] }
  const app = createApp(Who)
  app.mount(page)
  await nextTick()
  assert.equal(page.children[0].text, 'signed-in ada')
  assert.equal(listeners, 1)
  await client.signOut()
  await nextTick()
  assert.equal(page.children[0].text, 'signed-out undefined')
  app.unmount()
  assert.equal(listeners, 0)
  assert.equal(server.refreshes(), 0)
})
