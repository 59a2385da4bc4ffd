// The client's promises on bodies, aborts, clocks and origins hold with the browser's own fetch and XMLHttpRequest.

import assert from 'node:assert/strict'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { Browser } from 'playwright-core'
import { bodies } from '../client/bodies.ts'
import { abroad, home, same } from '../client/origins.ts'
import { launchBrowser } from './browser.ts'
import { buildClientPage, openContext, openPage } from './open-client.ts'

/** The server for all of `*.test`. It records the requests, and responds with 401, or with a redirect to another origin. */
const world = createServer((request, response) => {
  const { method, url, headers } = request
  const answer = {
    'access-control-allow-origin': headers.origin ?? '*',
    'access-control-allow-headers': 'authorization',
  }
  seen.push({ method: method!, host: headers.host!, headers })
  if (method === 'OPTIONS') response.writeHead(204, answer).end()
  else if (url!.startsWith('/redirect')) {
    response.writeHead(+url!.slice(-3), { ...answer, location: 'http://evil.test/x' }).end()
  } else response.writeHead(401, answer).end()
})
const seen: { method: string; host: string; headers: IncomingHttpHeaders }[] = []
const calls = () => seen.filter(({ method }) => method !== 'OPTIONS')

let browser: Browser
let script: string

before(async () => {
  await new Promise<void>((resolve) => world.listen(0, '127.0.0.1', resolve))
  script = await buildClientPage()
  const { port } = world.address() as AddressInfo
  browser = await launchBrowser({ args: [`--host-resolver-rules=MAP *.test 127.0.0.1:${port}`] })
})
after(async () => {
  await browser?.close()
  world.closeAllConnections()
  world.close()
})

describe('calls in a real Chromium', { timeout: 120_000 }, () => {
  for (const how of ['fetch', 'axios'] as const) {
    test(`${how}: every kind of body is sent again whole`, async (t) => {
      const { server, context } = await openContext(t, browser, script)
      const { page, signIn } = await openPage(context, server, how)
      await signIn()
      for (const kind of Object.keys(bodies)) {
        for (const asRequest of how === 'fetch' ? [false, true] : [false]) {
          server.expireTokens()
          server.seen.length = 0
          const status = await page.evaluate(
            async ([how, kind, asRequest]) => {
              const { axios, attachDaypass, bodies, client } = globalThis.page
              const body = bodies[kind]!()
              if (how === 'axios') {
                const api = axios.create()
                attachDaypass(api, client!)
                return (await api.post('/api', body)).status
              }
              const init = { method: 'POST', body }
              const call = asRequest ? client!.fetch(new Request('/api', init)) : client!.fetch('/api', init)
              return (await call).status
            },
            [how, kind, asRequest] as const,
          )
          assert.equal(status, 200, kind)
          const [first, second] = server.requests('/api')
          const text = ({ body, headers }: (typeof server.seen)[number]) => {
            const boundary = headers['content-type']?.split('boundary=')[1]
            assert.equal(boundary !== undefined, kind.startsWith('FormData'), kind)
            // XMLHttpRequest encodes the form again each time, with a new boundary.
            return boundary ? body.toString('latin1').replaceAll(boundary, '') : body.toString('latin1')
          }
          assert.ok(text(first!) === text(second!), kind)
          assert.equal(second!.body.length, first!.body.length, kind)
          assert.ok(second!.body.length > 0 || kind.endsWith('nothing'), kind)
        }
      }
    })

    test(`${how}: an abort rejects its call within 20 ms while the refresh hangs; the other calls get their token`, async (t) => {
      const { server, context } = await openContext(t, browser, script)
      const { page, signIn, call } = await openPage(context, server, how)
      await signIn()
      let best = Infinity
      for (let round = 1; round <= 5; round++) {
        server.expireTokens()
        const held = server.holdRefresh()
        await page.evaluate((how) => {
          const { axios, attachDaypass, client } = globalThis.page
          const api = axios.create()
          attachDaypass(api, client!)
          const controller = new AbortController()
          const { signal } = controller
          const aborted = (how === 'axios' ? api.get('/api', { signal }) : client!.fetch('/api', { signal })).catch(
            (error: Error) => error.name,
          )
          Object.assign(globalThis, {
            async measure() {
              await new Promise((resolve) => setTimeout(resolve, 20)) // now the call waits
              const start = performance.now()
              controller.abort()
              const name = await aborted
              return [name, performance.now() - start]
            },
          })
        }, how)
        const other = call(`${server.url}/api`)
        await held.asked
        const [name, took] = (await page.evaluate('measure()')) as [string, number]
        assert.equal(name, how === 'axios' ? 'CanceledError' : 'AbortError')
        best = Math.min(best, took)
        held.answer()
        assert.equal((await other).status, 200)
        assert.equal(server.refreshes(), round)
      }
      t.diagnostic(`${best.toFixed(1)} ms`)
      assert.ok(best < 20, `${best} ms`)
    })

    test(`${how}: the token goes to its own origin, however it is spelt, and to no other`, async (t) => {
      const { server, context } = await openContext(t, browser, script)
      const { page } = await openPage(context, server, how)
      await page.evaluate(([how, home]) => globalThis.page.open(how, { origins: [home] }), [how, home] as const)
      await page.evaluate(() => globalThis.page.driver!.signIn())
      const visit = (urls: string[]) =>
        page.evaluate(async (urls) => {
          for (const url of urls) await globalThis.page.driver!.call(url)
        }, urls)

      seen.length = 0
      await visit(same)
      // Rejected, refreshed, rejected again. axios rejects two of the spellings as invalid URLs.
      assert.equal(calls().length, (how === 'axios' ? same.length - 2 : same.length) * 2)
      for (const { host, headers } of calls()) {
        assert.equal(host, 'api.example.test')
        assert.match(headers.authorization!, /^Bearer ey/)
      }
      const asked = server.refreshes()

      seen.length = 0
      await visit(abroad)
      assert.ok(calls().length > 15, `${calls().length} calls arrived`)
      for (const { host, headers } of seen) {
        assert.notEqual(host, 'api.example.test')
        assert.equal(headers.authorization, undefined, host)
        assert.equal(headers['access-control-request-headers'], undefined, host)
      }
      for (const { headers } of server.seen) assert.equal(headers.authorization, undefined)
      assert.equal(server.refreshes(), asked)

      seen.length = 0
      await visit([301, 302, 303, 307, 308].map((status) => `${home}/redirect/${status}`))
      assert.deepEqual(
        calls().map(({ host, headers }) => [host, headers.authorization?.slice(0, 9)]),
        Array(5)
          .fill([
            ['api.example.test', 'Bearer ey'],
            ['evil.test', undefined],
          ])
          .flat(),
      )
      assert.equal(server.refreshes(), asked)
    })
  }

  for (const day of [-86_400_000, 86_400_000]) {
    test(`a computer’s clock a day ${day < 0 ? 'slow' : 'fast'}: no refresh too many and none too few`, async (t) => {
      const { server, context } = await openContext(t, browser, script)
      await context.addInitScript((day) => {
        const { now } = Date
        Date.now = () => now() + day
        globalThis.Date = class extends Date {
          constructor(...given: []) {
            if (given.length > 0) super(...given)
            else super(now() + day)
          }
        } as DateConstructor
      }, day)
      const { page, signIn, call } = await openPage(context, server)
      const wrong = await page.evaluate(() => Date.now())
      assert.ok(Math.abs(wrong - Date.now() - day) < 60_000)
      await signIn()
      assert.equal((await call(`${server.url}/api`)).status, 200)
      assert.equal(server.refreshes(), 0)
      server.expireTokens()
      assert.equal((await call(`${server.url}/api`)).status, 200)
      assert.deepEqual([server.refreshes(), server.rotations()], [1, 1])
    })
  }
})
