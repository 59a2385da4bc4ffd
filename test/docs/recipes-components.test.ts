// docs/recipes-components.md, as printed, and SWR: a component shows the session, in Chromium or rendered on a server.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Page } from 'playwright-core'
import { renderToString as renderSolid } from 'solid-js/web'
import { compile } from 'svelte/compiler'
import { render as renderSvelte } from 'svelte/server'
import { build, type Rollup } from 'vite'
import { createRenderer, h, nextTick } from 'vue'
import { renderToString } from 'vue/server-renderer'
import type { DaypassClient } from '../../src/client/index.ts'
import { launchBrowser, watch } from '../browser/browser.ts'
import { type DaypassServer, startDaypass, startWithClient } from '../client/daypass-server.ts'
import { createProject, readSnippet } from './project.ts'
import { atServer } from './recipes.ts'

const page = 'docs/recipes-components.md'

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
  const { useSession } = await import(write('use-session.ts', readSnippet(page, 'use-session.ts')))
  const Who = {
    setup() {
      const session = useSession(counted)
      return () => h('p', `${session.value.status} ${session.value.session?.subject}`)
    },
  }

  assert.equal(await renderToString(h(Who)), '<p>unknown undefined</p>')
  assert.equal(listeners, 0)

  const shown: any = { children: [] }
  const app = createApp(Who)
  app.mount(shown)
  await nextTick()
  assert.equal(shown.children[0].text, 'signed-in ada')
  assert.equal(listeners, 1)
  await client.signOut()
  await nextTick()
  assert.equal(shown.children[0].text, 'signed-out undefined')
  app.unmount()
  assert.equal(listeners, 0)
  assert.equal(server.refreshes(), 0)
})

/** A client of the page that counts its listeners, and the states that each component gets. */
const clientModule = `
  import { createClient } from 'daypass/client'
  const made = createClient({ baseUrl: '/auth' })
  globalThis.listeners = 0
  export const client = globalThis.client = {
    ...made,
    subscribe(listener) {
      globalThis.listeners++
      const stop = made.subscribe(listener)
      return () => {
        globalThis.listeners--
        stop()
      }
    },
  }
`
const svelteSession = `
  import { client } from './client.js'
  import { createSession } from './svelte-session.ts'
  export const session = createSession(client)
`
const svelteComponent = `
  <script>
    import { session } from './session.js'
  </script>
  <p>{session.current.status} {session.current.session?.subject}</p>
`
const solidComponent = `
  import { client } from './client.js'
  import { useSession } from './solid-session.ts'
  export function Who() {
    const session = useSession(client)
    return () => session().status + ' ' + (session().session?.subject ?? '')
  }
`
const componentsMain = `
  import { render } from 'solid-js/web'
  import { mount, unmount } from 'svelte'
  import { Who } from './solid.js'
  import Component from './svelte.js'
  const [svelte, solid] = ['svelte', 'solid'].map((id) => document.getElementById(id))
  const component = mount(Component, { target: svelte })
  const dispose = render(Who, solid)
  globalThis.unmount = () => {
    dispose()
    return unmount(component)
  }
`

/** A folder with the two components, for a server or for a page. */
function writeComponents(t: TestContext, generate: 'client' | 'server') {
  const project = createProject(t, ['svelte', 'solid-js'])
  for (const file of ['svelte-session.ts', 'solid-session.ts']) project.write(file, readSnippet(page, file))
  project.write('client.js', clientModule)
  project.write('session.js', svelteSession)
  const svelte = project.write('svelte.js', compile(svelteComponent, { generate }).js.code)
  const solid = project.write('solid.js', solidComponent)
  return { ...project, svelte, solid }
}

/** Bundles a file for a page of a real server, and opens it. */
async function open(t: TestContext, folder: string, entry: string, server?: DaypassServer) {
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    root: folder,
    define: { 'process.env.NODE_ENV': '"production"' },
    build: { write: false, minify: false, modulePreload: false, rollupOptions: { input: entry } },
  })) as Rollup.RollupOutput
  const html =
    '<!doctype html><link rel="icon" href="data:,"><p id="svelte"></p><p id="solid"></p><p id="react"></p><script type="module" src="/page.js"></script>'
  const files = { '/': html, '/page.js': result.output[0].code }
  const started = server ?? (await startDaypass(t, { files }))
  const browser = await launchBrowser()
  t.after(() => browser.close())
  const tab = await browser.newPage()
  const watched = watch(tab)
  await tab.goto(started.url)
  return { server: started, tab, watched }
}

const shows = (tab: Page, id: string, text: string) =>
  tab.locator(`#${id}`, { hasText: text }).waitFor({ timeout: 20_000 })

test('Svelte and Solid: rendered on a server they are unknown, and ask nobody', async (t) => {
  const { svelte, solid } = writeComponents(t, 'server')
  const { default: Component } = await import(svelte)
  const { Who } = await import(solid)
  assert.match(renderSvelte(Component).body, /<p>unknown <\/p>/)
  assert.match(renderSolid(Who), /^unknown /)
  assert.equal((globalThis as { listeners?: number }).listeners, 0)
})

test('Svelte and Solid: a component shows the session while it is mounted', async (t) => {
  const { folder, write } = writeComponents(t, 'client')
  const { server, tab, watched } = await open(t, folder, write('main.js', componentsMain))
  const all = (text: string) => Promise.all(['svelte', 'solid'].map((id) => shows(tab, id, text)))
  await all('signed-out')
  assert.equal(server.refreshes(), 1)
  await tab.evaluate("client.signIn({ password: 'right' })")
  await all('signed-in ada')
  server.expireTokens()
  assert.equal(await tab.evaluate("client.fetch('/api').then(({ status }) => status)"), 200)
  await all('signed-in ada')
  assert.equal(server.refreshes(), 2)
  await tab.evaluate('client.signOut()')
  await all('signed-out')
  assert.equal(await tab.evaluate('listeners'), 2)
  assert.equal(await tab.evaluate('Promise.resolve(unmount()).then(() => listeners)'), 0)
  assert.deepEqual(watched.problems, [])
})

const swrMain = `
  import { createElement as h } from 'react'
  import { createRoot } from 'react-dom/client'
  import { SWRConfig, mutate } from 'swr'
  import { client } from './client.ts'
  import { useMe } from './use-me.ts'
  Object.assign(globalThis, { client, ask: () => mutate('/me') })
  function Me() {
    const { data, error } = useMe()
    return h('b', null, 'data ' + data?.subject + ', error ' + error?.message + '. ')
  }
  const quick = { errorRetryInterval: 1, dedupingInterval: 0 }
  createRoot(document.getElementById('react')).render(h(SWRConfig, { value: quick }, h(Me), h(Me)))
`

test('SWR: it stays signed in, forgets a person who has left, and stops asking after the end of the session', async (t) => {
  const { folder, write } = createProject(t, ['swr', 'react', 'react-dom'])
  const here = (file: string) => write(file, atServer(readSnippet('docs/recipes.md', file), { url: '' }))
  for (const file of ['client.ts', 'use-me.ts']) here(file)
  const { server, tab, watched } = await open(t, folder, write('main.js', swrMain))
  const asked = () => server.requests('/api/me').length
  await shows(tab, 'react', 'data undefined, error HTTP 401')
  await tab.evaluate("client.signIn({ password: 'right' })")
  await tab.evaluate('ask()')
  await shows(tab, 'react', 'data ada')

  server.expireTokens()
  const before = server.refreshes()
  await tab.evaluate('ask()')
  assert.equal(server.refreshes(), before + 1)
  await shows(tab, 'react', 'data ada')

  await tab.evaluate("client.signIn({ password: 'right', name: 'bob' })")
  await shows(tab, 'react', 'data bob')

  const seen = asked()
  await tab.evaluate('client.signOut()')
  await shows(tab, 'react', 'data undefined, error HTTP 401')
  // Each retry would be due within milliseconds.
  await tab.evaluate("fetch('/api').then((response) => response.text())")
  await tab.evaluate('new Promise((resolve) => setTimeout(resolve, 300))')
  assert.ok(asked() - seen <= 2, `${asked() - seen} requests`)
  assert.deepEqual(watched.problems, [])
})
