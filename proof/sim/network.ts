// The network between devices and servers: it delays messages, loses, repeats and cuts them, and a proxy may answer.

import { deliver, type Tab, tokenOf } from './device.ts'
import type { Life, TextRequest, TextResponse } from './life.ts'
import type { NetworkFault } from './plan.ts'
import { serve } from './serve.ts'
import { site } from './site.ts'
import { second } from './time.ts'
import { findToken, findWholeToken, generationOf, keysOf, sessionIdOf } from './token.ts'

/** One request, with everything that its response needs. */
interface Exchange {
  life: Life
  tab: Tab
  request: TextRequest
  fault: NetworkFault | undefined
  /** How late a late message is, in milliseconds. */
  delay: number
  resolve(response: Response): void
  reject(reason: unknown): void
}

/** Created once: an abort without a reason creates an error with a stack each time. */
const hungUp = new DOMException('The caller has gone', 'AbortError')

const page = (status: number): TextResponse => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: `<h1>${status}</h1>`,
})

/** The time that a message usually takes. */
const usualDelay = ({ chance }: Life) => 2 + chance.below(40)

/** The fetch of a tab's client. */
export function send(life: Life, tab: Tab, input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  if (tab.isDead) return new Promise(() => {})
  const { device } = tab
  const { loop, checker, tell } = life
  const signal = input instanceof Request ? input.signal : init.signal
  const request = createRequest(life, tab, input, init)
  const isOffline = loop.now() < device.offlineUntil
  const planned = isOffline ? undefined : takeFault(life, tab, request.path)
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const { fault, delay = 0 } = planned ?? {}
  const exchange: Exchange = { life, tab, request, fault, delay, resolve, reject }
  signal?.addEventListener('abort', () => {
    request.gone.abort(hungUp)
    reject(signal.reason)
  })
  tell(`${tab.name} asks ${request.path}${describeTokens(request)}`)
  if (fault) {
    checker.countFault(fault)
    const hasDelay = ['request late', 'answer late', 'request twice', 'told late'].includes(fault)
    tell(`  (${fault}${hasDelay ? `, ${delay} ms` : ''})`)
  }
  if (isOffline) {
    checker.countFault('offline')
    tell('  (offline)')
    loop.after(5, () => disconnect(exchange))
  } else deliverRequest(exchange)
  return promise
}

function createRequest({ loop }: Life, { device }: Tab, input: string | URL | Request, init: RequestInit): TextRequest {
  const isRequest = input instanceof Request
  // Daypass's client and the keyless client give their headers as an object.
  const given = isRequest ? Object.fromEntries(input.headers) : (init.headers as Record<string, string> | undefined)
  const headers: Record<string, string> = { ...given, 'user-agent': device.plan.name }
  if (device.plan.kind === 'browser') {
    headers['sec-fetch-site'] = 'same-origin'
    headers.origin = site
    const token = tokenOf(device, loop.now())
    if (token) headers.cookie = `__Host-daypass=${token}`
  }
  return {
    method: (isRequest ? input.method : init.method) ?? 'GET',
    path: new URL(isRequest ? input.url : input).pathname,
    headers,
    body: String(init.body ?? ''),
    from: device.plan.name,
    gone: new AbortController(),
  }
}

/** The device's next planned fault. Most faults are kept for refreshes. */
function takeFault({ chance }: Life, { device }: Tab, path: string) {
  if (path === '/me') return undefined
  if (path === '/auth/login' && chance.below(4) > 0) return undefined
  return device.faults.shift()
}

/** Closes the connection on both sides. */
function disconnect({ tab, request, reject }: Exchange): void {
  request.gone.abort(hungUp)
  deliver(tab, () => reject(new TypeError('fetch failed')))
}

function deliverRequest(exchange: Exchange): void {
  const { life, tab, fault, delay } = exchange
  const { loop } = life
  const arrive = (response: TextResponse) => deliverResponse(exchange, response)
  if (fault === 'connection refused') {
    loop.after(5, () => disconnect(exchange))
    return
  }
  if (fault === 'a 502 of a proxy, before') {
    loop.after(usualDelay(life), () => arrive(page(502)))
    return
  }
  if (fault === 'a 429 of a proxy') {
    const limited = { ...page(429), headers: { 'retry-after': String(1 + (delay % 20)) } }
    loop.after(usualDelay(life), () => arrive(limited))
    return
  }
  if (tab.diesWhen === 'sent') tab.die()
  if (fault === 'request lost') return
  const arrivesAfter = usualDelay(life) + (fault === 'request late' ? delay : 0)
  loop.after(arrivesAfter, () => reachServer(exchange, arrive))
  if (fault === 'request twice') loop.after(arrivesAfter + delay, () => reachServer(exchange, () => {}))
}

/** The request reaches one of the servers that are alive, or a proxy that finds none. */
function reachServer(exchange: Exchange, onResponse: (response: TextResponse) => void): void {
  const { life, request, fault, delay } = exchange
  const { loop, chance, sabotage } = life
  const alive = life.servers.filter(({ isDead }) => !isDead)
  if (alive.length === 0) {
    loop.after(usualDelay(life), () => onResponse(page(502)))
    return
  }
  // The server notices that the caller has gone, or does not.
  const seen = chance.below(2) === 0 ? request : { ...request, gone: new AbortController() }
  serve(life, chance.pick(alive), seen).then((answered) => {
    if (fault === 'answer lost') return
    if (fault === 'connection reset') {
      disconnect(exchange)
      return
    }
    if (fault === 'a 502 of a proxy, after') {
      onResponse(page(502))
      return
    }
    const response = sabotage.response?.(answered) ?? answered
    const half = { ...response, body: response.body.slice(0, response.body.length >> 1) }
    loop.after(usualDelay(life) + (fault === 'answer late' ? delay : 0), () =>
      onResponse(fault === 'half an answer' ? half : response),
    )
  })
}

/** The response reaches the device: the browser stores the cookie, then the tab's code gets the response. */
function deliverResponse(exchange: Exchange, response: TextResponse): void {
  const { life, tab, request, fault, delay, resolve } = exchange
  const { device } = tab
  const { path } = request
  const isBrowser = device.plan.kind === 'browser'
  // The caller has closed the connection: nobody stores the cookie.
  if (request.gone.signal.aborted || tab.isDead) return
  if (device.isAsleep) {
    disconnect(exchange)
    return
  }
  // If a page dies between the cookie of a sign-in and its own note of it, the person signs in again. That is right: the
  // note of the sign-out before still stands, and nothing may bring back a session that was signed out.
  if (isBrowser && path === '/auth/login' && tab.diesWhen !== undefined) {
    tab.die()
    return
  }
  const cookie = response.headers['set-cookie']
  if (isBrowser && cookie) device.cookie = parseCookie(cookie, life.loop.now())
  if (path === '/auth/refresh' && response.status === 200) noteToken(life, request, cookie ?? response.body)
  if (tab.diesWhen === 'answered') {
    tab.die()
    return
  }
  const { status, headers, body } = response
  const settle = () => deliver(tab, () => resolve(new Response(status === 204 ? null : body, { status, headers })))
  if (fault === 'told late') life.loop.after(delay % (2 * second), settle)
  else settle()
}

/** A cookie with a Max-Age of 0 deletes what was there. */
function parseCookie(text: string, now: number): { value: string; until: number } | undefined {
  const [, value, maxAge] = /^[^=]+=([^;]*);.*Max-Age=(\d+)/.exec(text) ?? []
  if (value === undefined) throw new Error(`A cookie without Max-Age: ${text}`)
  return Number(maxAge) > 0 ? { value, until: now + Number(maxAge) * 1000 } : undefined
}

/** Notes which token the owner got. */
function noteToken({ checker }: Life, { headers }: TextRequest, text: string): void {
  const token = findWholeToken(text)
  if (!token) return
  checker.noteReceived(sessionIdOf(token), 'owner', generationOf(token), keysOf(headers['idempotency-key']))
}

/** ` with token 3 and key 4b.1 (the last one was 9c.2)` */
function describeTokens({ headers, body }: TextRequest): string {
  const token = findToken(`${headers.cookie} ${body}`)
  const [key, last] = keysOf(headers['idempotency-key']).map((each) => each.slice(0, 4))
  return `${token ? ` with token ${generationOf(token)}` : ''}${key ? ` and key ${key}` : ''}${last ? ` (the last one was ${last})` : ''}`
}
