// What happens in one run? The real servers, a store, a network, the real clients of a person's machines, and a thief, on
// one clock, after one plan.

import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createClient } from '../../src/client/client.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import type { Store } from '../../src/core/store.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createDevice, createRealm, type Device, deliver, isBusy, type Shared, type Tab, write } from './device.ts'
import { createLibrary } from './library.ts'
import { createLoop, type Due, type Loop } from './loop.ts'
import { chanceOf, day, type Happening, minute, type NetFault, type Plan, type Settings, second } from './plan.ts'
import {
  createBook,
  goodTokens,
  noBadLuck,
  noLockStep,
  noResurrection,
  type Tally,
  type Violation,
} from './properties.ts'
import { installRealms, type Realm, runIn } from './realm.ts'
import { createDatabase } from './store.ts'

/** What a test puts in the place of something good, to see whether it is found. */
export interface Sabotage {
  store?: (store: Store, loop: Loop) => Store
  /** What a client's storage makes of a text before it keeps it. */
  remember?: (text: string) => string
  /** What reaches a client of an answer. */
  answer?: (answer: HttpText) => HttpText
}

export interface HttpText {
  status: number
  headers: Record<string, string>
  body: string
}

export interface Outcome {
  broken: Violation | undefined
  tally: Tally
  story: string[]
}

/** A question on its way. */
interface Ask extends HttpText {
  method: string
  path: string
  /** Of whom: a device's name, or `thief`. */
  from: string
  /** Aborts when the caller has gone. */
  gone: AbortController
}

interface Server {
  number: number
  isDead: boolean
  dieBeforeCommit: boolean
  dieAfterCommit: boolean
  die(): void
  realm: Realm
  web: ReturnType<typeof createFetchAuth>
}

interface Thief {
  session: string
  device: Device
  token: string
  stolenKey: string | undefined
  keyless: boolean
  asks: number
  /** The last refresh that he completed: with which token and key. */
  completed: { token: string; key: string | undefined } | undefined
  isDone: boolean
}

/** Made once: an abort without a reason makes an error with a stack each time. */
const hungUp = new DOMException('The caller has gone', 'AbortError')
const site = 'https://app.example'
const start = Date.UTC(2026, 0, 1)
const html = (status: number): HttpText => ({
  status,
  headers: { 'content-type': 'text/html' },
  body: `<h1>${status}</h1>`,
})
const generationOf = (token: string) => Buffer.from(token.slice(4), 'base64url').readUInt32BE(18)
const sessionOf = (token: string) => Buffer.from(token.slice(4), 'base64url').toString('base64url', 2, 18)
const keysOf = (header = '') => [...header.matchAll(/"([^"]+)"/g)].map((match) => match[1])

export async function simulate(plan: Plan, sabotage: Sabotage = {}, isTold = false): Promise<Outcome> {
  installRealms()
  const loop = createLoop(start)
  const story: string[] = []
  const tell = isTold ? (text: string) => story.push(`${instant(loop.now())}  ${text}`) : () => {}
  const chance = chanceOf(plan.seed, 1)
  const { storeTimeout: timeout, storeDeadline: deadline, storeHasClock: hasClock } = plan
  const engine = { timeout, deadline, hasClock }
  const database = createDatabase(loop, chanceOf(plan.seed, 2), engine, () => fault('the store is away'))
  const intervals = [
    ...plan.servers.map(({ settings }) => settings.reuseInterval),
    ...plan.happenings.map((each) => (each.what === 'deploy' && each.change.reuseInterval) || 0),
  ]
  /** The longest of any server at any time, in milliseconds. */
  const longestInterval = Math.max(...intervals) * second
  const book = createBook({
    now: loop.now,
    rowOf: (id) => database.rows.get(id),
    largestSkew: plan.largestSkew,
    longestInterval,
  })
  const fault = (name: string) => book.count(`fault: ${name}`)
  const secretChance = chanceOf(plan.seed, 3)

  // The servers.

  /** How far a server's clock is off now: by what it was set to, and what it went off since. */
  const clocks = plan.servers.map(({ offset }) => ({ offset, since: start }))
  function offsetOf(number: number): number {
    const { offset, since } = clocks[number]!
    const off = offset + (plan.servers[number]!.drift * (loop.now() - since)) / second
    // No further: somebody looks after it.
    return Math.round(Math.max(-plan.largestSkew, Math.min(plan.largestSkew, off)))
  }
  const settings = plan.servers.map((each) => each.settings)
  const servers = plan.servers.map((_, number) => startServer(number))

  function startServer(number: number): Server {
    const server: Server = {
      number,
      isDead: false,
      dieBeforeCommit: false,
      dieAfterCommit: false,
      die,
      realm: undefined!,
      web: undefined!,
    }
    function die() {
      if (server.isDead) return
      server.isDead = true
      fault('a server crashes')
      tell(`server ${number + 1} crashes`)
      loop.after(500 + chance.below(3000), () => {
        servers[number] = startServer(number)
        tell(`server ${number + 1} is up again`)
      })
    }
    const store = database.connect(server)
    const realm: Realm = {
      setTimeout: (work, milliseconds = 0) => loop.after(milliseconds, work),
      clearTimeout(timer: Due | undefined) {
        if (timer) timer.work = undefined
      },
      clock: () => loop.now() + offsetOf(number),
      // Warnings for the operator.
      console: { warn: (text: string) => tell(`  server ${number + 1} warns: ${text}`) },
    }
    server.realm = realm
    const auth = runIn(realm, () =>
      createDaypass({
        secret: settings[number]!.secrets.map(
          (name) => `${name}, not secret at all: 0123456789abcdefghijklmnopqrstuvwxyz`,
        ),
        issuer: site,
        store: sabotage.store?.(store, loop) ?? store,
        ...(!hasClock && { clock: realm.clock }),
        random: secretChance.bytes,
        algorithm: plan.algorithm,
        accessTokenLifetime: settings[number]!.accessTokenLifetime,
        idleTimeout: settings[number]!.idleTimeout,
        absoluteTimeout: plan.absoluteTimeout,
        reuseInterval: settings[number]!.reuseInterval,
        // A client without keys asks again within it.
        retryInterval: (plan.days + 1) * 86_400,
        onEvent(event) {
          if (server.isDead) return
          book.onEvent(event)
          const { type, generation } = event
          tell(
            `  server ${number + 1}: ${type}${type === 'revoked' ? ` (${event.reason})` : `, generation ${generation}`}`,
          )
        },
      }),
    )
    server.web = createFetchAuth(auth, {
      authenticate: () => ({ subject: 'ada' }),
      onError(error) {
        if (isDaypassError(error) && error.code.startsWith('ERR_STORE_')) return
        book.fail(noBadLuck, `a server fails: ${error}`)
      },
    })
    return server
  }

  /** A request arrives at a server. Never answers where the server dies. */
  async function serve(server: Server, ask: Ask): Promise<HttpText> {
    const { method, headers, body, path, gone } = ask
    const request = new Request(site + path, {
      method,
      headers,
      body: method === 'POST' ? body : null,
      signal: gone.signal,
    })
    const askedAt = loop.now()
    const presented = /(dpr_[\w-]+)/.exec(`${headers.cookie} ${body}`)?.[1]
    const response = (await runIn(server.realm, () =>
      path === '/me' ? me(server, request) : server.web.handle(request),
    ))!
    if (server.isDead) return new Promise(() => {})
    const text = await response.text()
    const answer = { status: response.status, headers: Object.fromEntries(response.headers), body: text }
    const json = text.startsWith('{') ? JSON.parse(text) : {}
    tell(`  server ${server.number + 1} answers ${response.status}${json.code ? ` ${json.code}` : ''}`)
    if (path === '/auth/refresh' && response.ok) book.checkAnswer(json, askedAt)
    if (path === '/auth/refresh' && presented && ask.from !== 'thief' && response.status !== 503) {
      book.noteOwner(sessionOf(presented), json.code === 'ERR_REFRESH_SUPERSEDED')
    }
    // A token that has outlived its session may have outlived its secret, too. So may a thief's copy of an old one.
    const isGood = presented && ask.from !== 'thief' && book.isLive(database.rows.get(sessionOf(presented)))
    if (path === '/auth/refresh' && json.code === 'ERR_REFRESH_TOKEN_INVALID' && isGood) {
      book.fail(noBadLuck, 'a token of our own is called invalid')
    }
    if (json.code === 'ERR_INTERNAL') book.fail(noBadLuck, 'a server fails')
    if (path === '/auth/logout' && response.ok && presented) {
      book.count('sign-outs')
      // A sign-out that is sent again later names its session, and ends no other that the jar holds by then.
      const named = body?.startsWith('{') ? JSON.parse(body).session : undefined
      if (named === undefined || named === sessionOf(presented)) end(sessionOf(presented))
    }
    if (path === '/auth/sessions' && response.ok) {
      for (const known of book.sessions.values())
        if (database.rows.get(known.id)?.revokedReason === 'sign-out') end(known.id)
    }
    return answer
  }

  function end(id: string): void {
    const known = book.sessions.get(id)
    if (known) known.endedAt = Math.min(known.endedAt, loop.now())
  }

  /** The app's own route. */
  async function me({ web }: Server, request: Request): Promise<Response> {
    const token = await loop.hold(web.authenticate(request))
    book.count('calls of the app')
    if (token instanceof Response) {
      const { code } = await token.clone().json()
      const text = request.headers.get('authorization')?.split('.')[1]
      const row = text && database.rows.get(JSON.parse(Buffer.from(text, 'base64url').toString()).sid)
      if (code === 'ERR_ACCESS_TOKEN_INVALID') book.fail(goodTokens, 'an access token of our own is called invalid')
      if (code === 'ERR_ACCESS_TOKEN_REVOKED' && row && row.revokedAt === null) {
        book.fail(goodTokens, 'an access token of a session that goes on is called revoked')
      }
      return token
    }
    const endedAt = book.sessions.get(token.sessionId)?.endedAt ?? Number.POSITIVE_INFINITY
    if (loop.now() > endedAt + 2 * second && database.lastAway < endedAt - second) {
      book.fail(noResurrection, 'an access token is accepted two seconds after its session was ended')
    }
    return Response.json({ subject: token.subject })
  }

  // The network.

  const near = () => 2 + chance.below(40)

  /** A client's fetch. */
  function send(tab: Tab, input: string | Request, init: RequestInit = {}): Promise<Response> {
    const { device } = tab
    if (tab.isDead) return new Promise(() => {})
    const isCall = typeof input !== 'string'
    const path = new URL(isCall ? input.url : input).pathname
    const headers: Record<string, string> = isCall ? Object.fromEntries(input.headers) : { ...(init.headers as any) }
    const isPage = device.plan.kind === 'browser'
    headers['user-agent'] = device.plan.name
    if (isPage) {
      headers['sec-fetch-site'] = 'same-origin'
      headers.origin = site
      const token = tokenOf(device)
      if (token) headers.cookie = `__Host-daypass=${token}`
    }
    const signal = isCall ? input.signal : init.signal
    const method = (isCall ? input.method : init.method) ?? 'GET'
    const gone = new AbortController()
    const ask: Ask = { status: 0, method, path, headers, body: String(init.body ?? ''), from: device.plan.name, gone }
    // Most trouble is kept for refreshes.
    const isOffline = loop.now() < device.offlineUntil
    const isSpared = isOffline || path === '/me' || (path === '/auth/login' && chance.below(4) > 0)
    const planned = isSpared ? undefined : device.faults.shift()
    const is = (...faults: NetFault[]) => planned !== undefined && faults.includes(planned.fault)
    const late = planned?.delay ?? 0

    return new Promise<Response>((resolve, reject) => {
      const drop = () => {
        gone.abort(hungUp)
        deliver(tab, () => reject(new TypeError('fetch failed')))
      }
      signal?.addEventListener('abort', () => {
        gone.abort(hungUp)
        reject(signal.reason)
      })
      tell(`${tab.name} asks ${path}${told(ask)}`)
      if (planned) {
        fault(planned.fault)
        tell(
          `  (${planned.fault}${is('request late', 'answer late', 'request twice', 'told late') ? `, ${late} ms` : ''})`,
        )
      }
      if (isOffline) {
        fault('offline')
        tell('  (offline)')
        loop.after(5, drop)
        return
      }
      if (is('connection refused')) return void loop.after(5, drop)
      if (is('a 502 of a proxy, before')) return void loop.after(near(), () => arrive(html(502)))
      if (is('a 429 of a proxy')) {
        const limited = { ...html(429), headers: { 'retry-after': String(1 + (late % 20)) } }
        return void loop.after(near(), () => arrive(limited))
      }
      if (tab.diesWhen === 'sent') tab.die()
      if (is('request lost')) return
      const up = near() + (is('request late') ? late : 0)
      loop.after(up, () => reach(arrive))
      if (is('request twice')) loop.after(up + late, () => reach(() => {}))

      function reach(answered: (answer: HttpText) => void): void {
        const alive = servers.filter(({ isDead }) => !isDead)
        if (alive.length === 0) return void loop.after(near(), () => answered(html(502)))
        // A server sees that the caller has gone, or does not.
        const seen = chance.below(2) === 0 ? ask : { ...ask, gone: new AbortController() }
        const server = chance.pick(alive)
        serve(server, seen).then((answer) => {
          if (is('answer lost')) return
          if (is('connection reset')) return drop()
          if (is('a 502 of a proxy, after')) return answered(html(502))
          const whole = sabotage.answer?.(answer) ?? answer
          const half = { ...whole, body: whole.body.slice(0, whole.body.length >> 1) }
          loop.after(near() + (is('answer late') ? late : 0), () => answered(is('half an answer') ? half : whole))
        })
      }

      function arrive({ status, headers, body }: HttpText): void {
        // Asleep, or given up by the tab: the connection is closed, and nobody takes up the cookie.
        if (gone.signal.aborted || tab.isDead) return
        if (device.isAsleep) {
          drop()
          return
        }
        // A page that dies between a sign-in's cookie and its own note of it signs in again: the note of the sign-out before
        // stands, and rightly, for nothing may bring back what was signed out.
        if (isPage && path === '/auth/login' && tab.diesWhen !== undefined) {
          tab.die()
          return
        }
        const cookie = headers['set-cookie']
        if (isPage && cookie) {
          const [, value, maxAge] = /^[^=]+=([^;]*);.*Max-Age=(\d+)/.exec(cookie)!
          device.jar = Number(maxAge) > 0 ? { value: value!, until: loop.now() + Number(maxAge) * 1000 } : undefined
        }
        if (path === '/auth/refresh' && status === 200) {
          // Whole: half an answer may end in the middle of one.
          const token = /(dpr_[\w-]{83})/.exec(cookie ?? body)?.[1]
          if (token) book.give(sessionOf(token), 'owner', generationOf(token), keysOf(ask.headers['idempotency-key']))
        }
        if (tab.diesWhen === 'answered') {
          tab.die()
          return
        }
        const hear = () => deliver(tab, () => resolve(new Response(status === 204 ? null : body, { status, headers })))
        if (is('told late')) loop.after(late % 2000, hear)
        else hear()
      }
    })
  }

  // The machines and their owner.

  const shared: Shared[] = []
  const devices = plan.devices.map((each, number) => {
    shared.push({ locks: [], channels: [], listeners: [] })
    return createDevice(each, number, loop)
  })
  let opened = 0

  function open(device: Device, number: number): Tab {
    const old = device.tabs[number]
    if (old && !old.isDead) return old
    const { name, kind } = device.plan
    const tab: Tab = {
      name: device.plan.tabs > 1 ? `${name}, ${kind === 'browser' ? 'tab' : 'program'} ${number + 1}` : name,
      number,
      device,
      realm: undefined!,
      isDead: false,
      isHidden: false,
      client: undefined,
      die() {
        tab.isDead = true
      },
    }
    tab.realm = createRealm(tab, shared[device.number]!, loop)
    const { die } = tab
    tab.die = () => {
      if (tab.isDead) return
      fault('a tab or program crashes')
      tell(`${tab.name} dies`)
      die()
    }
    device.tabs[number] = tab
    const storage = {
      async get(name: string) {
        await loop.sleep(1 + chance.below(2))
        return tab.isDead ? new Promise<never>(() => {}) : device.storage.get(name)
      },
      async set(name: string, value: string) {
        await loop.sleep(1 + chance.below(2))
        if (!write(tab, name, sabotage.remember?.(value) ?? value) || tab.isDead) await new Promise(() => {})
      },
    }
    tell(`${tab.name} opens`)
    const options = {
      baseUrl: `${site}/auth`,
      fetch: ((input: any, init: any) => send(tab, input, init)) as typeof fetch,
      clock: device.clock,
    }
    const sleep = (milliseconds: number) =>
      new Promise<void>((resolve) => void tab.realm.setTimeout(resolve, milliseconds))
    tab.client = runIn(tab.realm, () =>
      kind === 'library'
        ? createLibrary({ ...options, storage, sleep })
        : createClient({
            ...options,
            random: chanceOf(plan.seed, 100 + opened++).bytes,
            ...(kind !== 'browser' && { storage }),
          }),
    )
    if (!isCommandOn(device)) runIn(tab.realm, () => tab.client.subscribe(() => look(tab)))
    return tab
  }

  /** Whatever a client shows, it must not call a session over that is not. */
  function look(tab: Tab): void {
    if (tab.isDead) return
    const { device } = tab
    const { status, session, reason } = tab.client.getSession()
    if (status === 'signed-in') {
      // Somebody may look at a tab that does not know of a newer sign-in yet.
      const current = device.session ? database.rows.get(device.session) : undefined
      if (session && book.isLive(database.rows.get(session.id)) && !(current && session.createdAt < current.createdAt))
        device.session = session.id
    } else if (status === 'signed-out') {
      if (isOwners(device)) book.fail(noBadLuck, `${tab.name} is signed out (${reason}), and its session goes on`)
      tell(`${tab.name} is signed out (${reason})`)
    }
  }

  /** Whether the owner is, as far as anybody knows, signed in on that machine. */
  function isOwners(device: Device): boolean {
    if (device.isOut || isBusy(device) || device.session === undefined) return false
    // A cookie of which no successor ever came is idle from when it came.
    if (device.jar && device.jar.until <= loop.now()) return false
    const { isRobbed, endedAt } = book.sessions.get(device.session)!
    // Whom a thief pursues may well be signed out: that is what happens to both.
    return !isRobbed && endedAt > loop.now() && book.isLive(database.rows.get(device.session))
  }

  /** A command does one thing and ends. */
  const isCommandOn = (device: Device) => device.plan.kind === 'shell' && !plan.atOnce

  async function use(device: Device, number: number): Promise<void> {
    if (device.isAsleep || isBusy(device)) return
    const tab = open(device, number)
    const isCommand = isCommandOn(device)
    for (const other of device.tabs) if (other && !other.isDead) other.isHidden = other !== tab
    wakeUp(device, 'visibilitychange')
    const { status } = tab.client.getSession()
    if (device.isOut || status === 'signed-out') {
      device.busy = tab
      tell(`${tab.name}: the owner signs in`)
      await runIn(tab.realm, () => tab.client.signIn({ name: 'ada' })).then(
        () => {
          // Nobody saw what a dead tab got.
          if (tab.isDead) return
          device.isOut = false
          device.session = tab.client.getSession().session?.id
          tell(`${tab.name} is signed in`)
        },
        () => tell(`${tab.name}: that failed`),
      )
      device.busy = undefined
      tab.isDead ||= isCommand
      return
    }
    tell(`${tab.name}: the owner does something`)
    if (isCommand) device.busy = tab
    await runIn(tab.realm, () => tab.client.fetch(`${site}/me`)).then(
      (response: Response) => tell(`${tab.name} gets ${response.status}`),
      (error: any) => tell(`${tab.name} fails: ${error.code ?? error.name}`),
    )
    if (!isCommand) return
    // It has done what it is for, and ends, whatever is still under way.
    device.busy = undefined
    tab.isDead = true
  }

  /** The owner goes on asking, more than once an interval and for longer than four. */
  async function insist(device: Device, number: number): Promise<void> {
    if (device.isAsleep || isBusy(device) || device.isOut) return
    const tab = open(device, number)
    tell(`${tab.name}: the owner asks again and again`)
    const { session } = device
    const until = loop.now() + 6 * (longestInterval + 2 * plan.largestSkew)
    while (loop.now() < until && !tab.isDead && !device.isOut && device.session === session) {
      runIn(tab.realm, () => tab.client.getAccessToken({ forceFresh: true })).catch(() => {})
      await loop.sleep(0.6 * longestInterval)
    }
  }

  async function signOut(device: Device, number: number): Promise<void> {
    if (device.isAsleep || isBusy(device) || device.isOut) return
    const tab = open(device, number)
    device.busy = tab
    device.isOut = true
    tell(`${tab.name}: the owner signs out`)
    await runIn(tab.realm, () => tab.client.signOut()).catch(() => tell(`${tab.name}: the server could not be told`))
    device.busy = undefined
  }

  async function signOutElsewhere(device: Device, number: number): Promise<void> {
    if (device.isAsleep || isBusy(device) || device.isOut) return
    const tab = open(device, number)
    tell(`${tab.name}: the owner signs out everywhere else`)
    for (const other of devices) if (other !== device) other.isOut = true
    await runIn(tab.realm, () => tab.client.fetch(`${site}/auth/sessions`, { method: 'DELETE' })).catch(() => {})
  }

  function wakeUp(device: Device, type: string): void {
    for (const each of shared[device.number]!.listeners) {
      if (each.type === type) loop.after(0, () => deliver(each.tab, () => each.listener({ type })))
    }
  }

  // The thief.

  const thieves: Thief[] = []

  const memoryOf = ({ storage }: Device) => JSON.parse([...storage.values()][0] ?? '{}')

  /** The refresh token that a machine holds. */
  function tokenOf(device: Device): string | undefined {
    if (device.plan.kind !== 'browser') return memoryOf(device).token
    return device.jar && device.jar.until > loop.now() ? device.jar.value : undefined
  }

  function rob(device: Device, { withKey, keyless, asks, repeats }: Happening & { what: 'theft' }): void {
    const token = tokenOf(device)
    if (token === undefined) return
    const session = sessionOf(token)
    const known = book.sessions.get(session)!
    known.isRobbed = true
    const stolenKey = withKey ? memoryOf(device).key : undefined
    if (stolenKey) known.lootKeys.add(stolenKey)
    book.count('thefts tried')
    tell(
      `a thief copies token ${generationOf(token)} of the ${device.plan.name}${stolenKey ? ', and its pending key' : ''}`,
    )
    const thief: Thief = { session, device, token, stolenKey, keyless, asks: 0, completed: undefined, isDone: false }
    thieves.push(thief)
    for (const after of asks) loop.after(after, () => thiefAsks(thief))
    const first = asks[0]!
    for (let after = first + repeats.every; after < first + repeats.for; after += repeats.every)
      loop.after(after, () => thiefRepeats(thief))
  }

  async function thiefAsks(thief: Thief): Promise<void> {
    if (thief.isDone) return
    const own = `a-key-of-the-thiefs-own-${thieves.indexOf(thief)}-${thief.asks++}`
    const key = thief.stolenKey ?? (thief.keyless ? undefined : own)
    thief.stolenKey = undefined
    tell(`the thief asks with token ${generationOf(thief.token)}`)
    await thiefSends(thief, thief.token, key)
  }

  /** He asks the same once more: the same token, the same key. */
  async function thiefRepeats(thief: Thief): Promise<void> {
    if (thief.isDone || thief.completed === undefined) return
    const { token, key } = thief.completed
    tell(`the thief repeats his refresh of token ${generationOf(token)}`)
    book.count('repetitions of thieves')
    await thiefSends(thief, token, key)
  }

  async function thiefSends(thief: Thief, token: string, key: string | undefined): Promise<void> {
    const server = servers.find(({ isDead }) => !isDead)
    if (server === undefined) return
    const answer = await serve(server, {
      status: 0,
      method: 'POST',
      path: '/auth/refresh',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'thief',
        ...(key && { 'idempotency-key': `"${key}"` }),
      },
      body: JSON.stringify({ refreshToken: token }),
      from: 'thief',
      gone: new AbortController(),
    })
    if (answer.status === 401) thief.isDone = true
    if (answer.status !== 200) return
    const { refreshToken } = JSON.parse(answer.body)
    thief.completed = { token, key }
    thief.token = refreshToken
    book.give(thief.session, 'thief', generationOf(refreshToken), [key])
  }

  // What was planned.

  function happen(happening: Happening): unknown {
    switch (happening.what) {
      case 'use':
        return use(devices[happening.device]!, happening.tab)
      case 'sign out':
        return signOut(devices[happening.device]!, happening.tab)
      case 'sign out elsewhere':
        return signOutElsewhere(devices[happening.device]!, happening.tab)
      case 'insist':
        return insist(devices[happening.device]!, happening.tab)
      case 'deploy':
        return deploy(happening.pause, happening.change)
      case 'rotate secret':
        return rotateSecret(happening.pause, happening.dropAfter)
      case 'theft':
        return rob(devices[happening.device]!, happening)
      case 'net':
        return devices[happening.device]!.faults.push(happening)
      case 'die': {
        const tab = devices[happening.device]!.tabs[happening.tab]
        if (!tab || tab.isDead) return
        if (happening.when === 'now') tab.die()
        else tab.diesWhen = happening.when
        return
      }
      case 'sleep':
        return sleep(devices[happening.device]!, happening.for)
      case 'offline': {
        const device = devices[happening.device]!
        device.offlineUntil = loop.now() + happening.for
        tell(`the ${device.plan.name} is offline for ${duration(happening.for)}`)
        loop.after(happening.for, () => wakeUp(device, 'online'))
        return
      }
      case 'store away':
        database.away = { until: loop.now() + happening.for, how: happening.how }
        tell(
          `the store is away for ${duration(happening.for)}${happening.how === 'after' ? ', but does what it is told' : ''}`,
        )
        return
      case 'store slow':
        database.slowUntil = loop.now() + happening.for
        fault('the store is slow')
        tell(`the store is slow for ${duration(happening.for)}`)
        return
      case 'failover':
        database.onWrite = () => loop.after(happening.lag, () => failOver(happening.lag))
        return
      case 'restart': {
        const server = servers[happening.server]!
        if (happening.when === 'now') server.die()
        else if (happening.when === 'before a commit') server.dieBeforeCommit = true
        else server.dieAfterCommit = true
        return
      }
      case 'clock set':
        clocks[happening.server] = { offset: happening.to, since: loop.now() }
        // One that follows the store's clock looks at it when it starts, and now and then.
        if (hasClock) servers[happening.server]!.die()
        fault("a server's clock is set")
        tell(`the clock of server ${happening.server + 1} is set ${happening.to} ms off`)
    }
  }

  /** One server after another is started anew, with other settings. */
  async function deploy(pause: number, change: Partial<Settings>): Promise<void> {
    fault('other settings are deployed')
    for (const server of servers.keys()) {
      settings[server] = { ...settings[server]!, ...change }
      tell(`server ${server + 1} is set up with ${JSON.stringify(change)}`)
      servers[server]!.die()
      await loop.sleep(pause)
    }
  }

  /** A new secret is known everywhere before it makes tokens, and the old one stays as long as a token of it may live. */
  async function rotateSecret(pause: number, dropAfter: number): Promise<void> {
    await deploy(pause, { secrets: ['old', 'new'] })
    await deploy(pause, { secrets: ['new', 'old'] })
    await loop.sleep(dropAfter)
    await deploy(pause, { secrets: ['new'] })
  }

  async function failOver(lag: number): Promise<void> {
    const lost = await database.failOver(lag)
    fault('the store fails over')
    for (const id of lost) {
      const known = book.sessions.get(id)
      if (known) known.lost++
      fault('the store loses a write')
    }
    tell(`the store fails over and loses ${lost.length} writes`)
  }

  function sleep(device: Device, milliseconds: number): void {
    if (device.isAsleep) return
    fault('a machine sleeps')
    tell(`the ${device.plan.name} sleeps for ${duration(milliseconds)}`)
    const since = loop.now()
    device.isAsleep = true
    loop.after(milliseconds, () => {
      tell(`the ${device.plan.name} wakes up`)
      device.isAsleep = false
      device.slept += loop.now() - since
      for (const work of device.onWake.splice(0)) work()
      wakeUp(device, 'focus')
    })
  }

  for (const happening of plan.happenings) loop.after(happening.at, () => happen(happening))
  const length = plan.happenings.length === 0 ? 0 : plan.happenings.at(-1)!.at
  for (let passed = 0; passed < length && !book.broken; passed += minute) await loop.run(minute)

  // In the end everything works again, and everybody comes back.

  if (!book.broken) {
    tell('from here on nothing fails any more')
    await heal()
    await everybodyGetsIn()
    await everyThiefIsCaught()
  }
  for (const device of devices) for (const tab of device.tabs) if (tab) tab.isDead = true
  if (book.broken) tell(`${book.broken.name}: ${book.broken.message}`)
  return { broken: book.broken, tally: book.tally, story }

  async function heal(): Promise<void> {
    database.away.until = database.slowUntil = 0
    database.onWrite = undefined
    for (const server of servers) server.dieBeforeCommit = server.dieAfterCommit = false
    for (const device of devices) {
      device.faults = []
      device.offlineUntil = 0
      for (const tab of device.tabs) if (tab) tab.diesWhen = undefined
    }
    // Until the last machine is awake, and the longest Retry-After is over.
    for (
      let waited = 0;
      waited < day && (waited < 6 * minute || devices.some(({ isAsleep }) => isAsleep));
      waited += minute
    ) {
      await loop.run(minute)
    }
  }

  async function everybodyGetsIn(): Promise<void> {
    const waiting: Promise<void>[] = []
    for (const device of devices) {
      const wasOwners = isOwners(device)
      for (let number = 0; number < device.plan.tabs && wasOwners; number++) {
        const tab = open(device, number)
        const check = async () => {
          // Of a sign-in whose tab died before it told the others, they do not know; they find it when they look for it.
          if (tab.client.getSession().status === 'signed-out') await tab.client.getAccessToken({ forceFresh: true })
          const { status } = await tab.client.fetch(`${site}/me`)
          if (status !== 200 && isOwners(device)) book.fail(goodTokens, `${tab.name}, asking in peace, hears ${status}`)
        }
        const fail = (error: any) => {
          if (isOwners(device)) book.fail(noBadLuck, `${tab.name}, asking in peace, hears ${error.code ?? error}`)
        }
        // A lost race after a long outage may end a client's patience at once: not signed out, and asking again is enough.
        const again = () => loop.sleep(10 * second).then(() => runIn(tab.realm, check))
        waiting.push(runIn(tab.realm, check).catch(again).catch(again).catch(fail))
      }
    }
    let isDone = waiting.length === 0
    Promise.all(waiting).then(() => {
      isDone = true
    })
    for (let waited = 0; waited < 5 * minute && !isDone; waited += second) await loop.run(second)
    if (!isDone) book.fail(noBadLuck, 'a client that asks in peace hears nothing for five minutes')
  }

  async function everyThiefIsCaught(): Promise<void> {
    // An owner who stayed away until the cookie was gone never comes back, and the thief goes on alone.
    const isOpen = ({ session, device }: Thief) => {
      const token = tokenOf(device)
      const isBack = !device.isOut && token !== undefined && sessionOf(token) === session
      return isBack && book.isLive(database.rows.get(session))
    }
    // What is shared is told apart with the next refresh but one, and each takes four intervals at most.
    const bound = 4 * (longestInterval + 2 * plan.largestSkew) + minute
    const step = Math.floor(0.4 * longestInterval)
    for (let passed = 0; passed < 3 * bound && thieves.some(isOpen) && !book.broken; passed += 2 * step) {
      for (const thief of thieves.filter(isOpen)) {
        const tab = thief.device.tabs.find((each) => each && !each.isDead) ?? open(thief.device, 0)
        runIn(tab.realm, () => tab.client.getAccessToken({ forceFresh: true })).catch(() => {})
        loop.after(step >> 1, () => thiefRepeats(thief))
        loop.after(step + (step >> 1), () => (chance.below(3) === 0 ? thiefAsks(thief) : thiefRepeats(thief)))
      }
      await loop.run(2 * step)
    }
    await loop.run(5 * second)
    for (const thief of thieves) {
      const { isCaught } = book.sessions.get(thief.session)!
      const row = database.rows.get(thief.session)
      if (isCaught) continue
      if (isOpen(thief)) {
        book.fail(noLockStep, 'a thief and the owner both go on')
      } else book.count(book.isLive(row) ? 'owners who never returned' : 'thieves too late')
    }
  }
}

const told = ({ headers, body }: Ask): string => {
  const token = /(dpr_[\w-]+)/.exec(`${headers.cookie} ${body}`)?.[1]
  const keys = keysOf(headers['idempotency-key']).map((key) => key!.slice(0, 4))
  return `${token ? ` with token ${generationOf(token)}` : ''}${keys[0] ? ` and key ${keys[0]}` : ''}${keys[1] ? ` (the last one was ${keys[1]})` : ''}`
}

function instant(at: number): string {
  const passed = at - start
  return `day ${Math.floor(passed / day) + 1} ${new Date(at).toISOString().slice(11, 23)}`
}

export function duration(milliseconds: number): string {
  if (milliseconds < second) return `${milliseconds} ms`
  if (milliseconds < minute) return `${Math.round(milliseconds / second)} s`
  if (milliseconds < 60 * minute) return `${Math.round(milliseconds / minute)} min`
  if (milliseconds < 2 * day) return `${(milliseconds / (60 * minute)).toFixed(1).replace('.0', '')} h`
  return `${Math.round(milliseconds / day)} days`
}
