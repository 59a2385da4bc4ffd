// Two tabs of one browser agree on the session, in any order of their messages, requests and responses.
// fast-check chooses the order and shrinks what fails. It prints seed and path: give the seed back in DAYPASS_TEST_SEED.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createClient, type DaypassClient, isSignedOut } from '../../src/client/index.ts'
import { createDaypass } from '../../src/index.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { withWebLocks } from './web-locks.ts'

const seed = Number(process.env.DAYPASS_TEST_SEED) || (process.env.CI ? 20_261 : Date.now() % 1_000_000)
const numRuns = Number(process.env.FUZZ_RUNS || 1) * 150

type Kind = 'signIn' | 'signOut' | 'refresh' | 'call'

/** What a person does, in this order; what it leads to may take until long after. */
interface Step {
  tab: 0 | 1
  kind: Kind
}

interface Done extends Step {
  error?: any
}

const { now: realNow } = Date
let origins = 0

/** One browser with two tabs, and a server. All that travels goes by the scheduler. */
function openBrowser(scheduler: fc.Scheduler) {
  const origin = `https://daypass-${++origins}.test`
  const auth = createDaypass({
    secret: randomBytes(32),
    issuer: origin,
    store: createMemoryStore(),
    reuseInterval: 0,
    clock: realNow,
  })
  const web = createFetchAuth(auth, { authenticate: ({ subject }) => ({ subject: String(subject) }) })
  const travel = (what: string) => scheduler.schedule(Promise.resolve(), what)
  const busy = { count: 0 }

  let jar = ''
  const send: typeof fetch = async (input, init) => {
    const request = new Request(input, init)
    const { pathname } = new URL(request.url)
    const cookie = init?.credentials === 'include' ? jar : ''
    if (cookie) request.headers.set('cookie', cookie)
    request.headers.set('sec-fetch-site', 'same-origin')
    const { signal } = request
    await travel(`request ${pathname}`)
    busy.count++
    const response = await respond(request, pathname).finally(() => busy.count--)
    await travel(`response ${pathname}`)
    signal.throwIfAborted()
    const set = response.headers.get('set-cookie')
    if (set) jar = /^[^=]*=;/.test(set) ? '' : set.split(';')[0]!
    return response
  }

  async function respond(request: Request, pathname: string): Promise<Response> {
    if (pathname === '/api') {
      return web.requireAuth(({ auth }) => Response.json({ subject: auth.subject }))(request)
    }
    return (await web.routes(request))!
  }

  const channels: any[] = []
  class Channel {
    onmessage: ((event: { data: unknown }) => void) | undefined
    tails = new Map<Channel, Promise<unknown>>()
    constructor() {
      channels.push(this)
    }
    postMessage(data: unknown) {
      const copy = structuredClone(data)
      for (const other of channels.filter((channel) => channel !== this)) {
        // What one tab tells arrives in order.
        const before = this.tails.get(other) ?? Promise.resolve()
        const arrived = before.then(() => travel(`message ${JSON.stringify(data).slice(0, 40)}`))
        this.tails.set(
          other,
          arrived.then(() => other.onmessage({ data: copy })),
        )
      }
    }
  }
  Object.assign(globalThis, { BroadcastChannel: Channel })

  const storage = new Map<string, string>()
  const open = (): DaypassClient =>
    createClient({
      ...{ baseUrl: `${origin}/auth`, transport: 'cookie', storage, tabs: true, fetch: send, clock: () => 0 },
      sleep: () => travel('sleep'),
    })
  const tabs = [open(), open()] as const

  /** Runs all that is scheduled, in the scheduler's order; between two of those everything else comes to rest. */
  async function settle(isDone: () => boolean) {
    for (let steps = 0; steps < 2000; steps++) {
      for (let quiet = 0; quiet < 4; quiet = busy.count ? 0 : quiet + 1) await new Promise(setImmediate)
      if (scheduler.count() > 0) await scheduler.waitNext(1)
      else if (isDone()) return
    }
    assert.fail('It never came to rest.')
  }

  return {
    origin,
    tabs,
    open,
    settle,
    sessions: async (subjects: string[]) => (await Promise.all(subjects.map((one) => auth.sessions(one)))).flat(),
    memory: () => JSON.parse([...storage.values()][0] ?? '{}'),
    close: () => auth.close(),
  }
}

const step = (kinds: Kind[]) => fc.record({ tab: fc.constantFrom<0 | 1>(0, 1), kind: fc.constantFrom<Kind>(...kinds) })
const steps = fc.array(step(['signIn', 'signOut', 'refresh', 'call']), { minLength: 1, maxLength: 6 })

/** Lets all of it happen, and returns what came of it. */
async function live(browser: ReturnType<typeof openBrowser>, scheduler: fc.Scheduler, steps: Step[]) {
  const done: Done[] = []
  const running: Promise<unknown>[] = []
  let begun = 0
  const begin = (each: Step, index: number) => {
    const client = browser.tabs[each.tab]
    const one: Done = { ...each }
    done.push(one)
    const work = {
      signIn: () => client.signIn({ subject: `person-${index}` }),
      signOut: () => client.signOut(),
      refresh: () => client.getAccessToken({ forceFresh: true }),
      call: () => client.fetch(`${browser.origin}/api`),
    }
    running.push(
      work[each.kind]().catch((error: unknown) => {
        one.error = error
      }),
    )
    begun++
  }
  scheduler.scheduleSequence(
    steps.map((each, index) => ({ label: `tab ${each.tab}: ${each.kind}`, builder: async () => begin(each, index) })),
  )
  let pending = -1
  await browser.settle(() => {
    if (begun < steps.length) return false
    if (pending < 0) {
      pending = running.length
      for (const one of running) one.finally(() => pending--)
    }
    return pending === 0
  })
  return done
}

/** Milliseconds that only go on, each time another one. */
function mockDate(t: TestContext) {
  let now = realNow()
  t.mock.method(Date, 'now', () => ++now)
}

test(
  'two tabs at the same time: they agree, and the last action counts, here and at the server',
  withWebLocks,
  async (t) => {
    t.diagnostic(`DAYPASS_TEST_SEED=${seed}`)
    mockDate(t)
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), steps, async (scheduler, steps) => {
        const browser = openBrowser(scheduler)
        const done = await live(browser, scheduler, steps)
        const last = done.findLast(({ kind }) => kind === 'signIn' || kind === 'signOut')
        const shown = browser.tabs.map((tab) => tab.getSession())
        const sessions = await browser.sessions(steps.map((_, index) => `person-${index}`))
        const told = JSON.stringify({ shown: shown.map(({ status, session }) => [status, session?.subject]), sessions })

        for (const [index, { kind, error }] of done.entries()) {
          if (!error) continue
          assert.ok(isSignedOut(error), error)
          if (kind !== 'signIn') continue
          assert.ok(
            done.slice(index + 1).some(({ kind }) => kind === 'signOut'),
            'a sign-in fails only by a later sign-out',
          )
        }
        if (last?.kind === 'signIn') {
          assert.equal(sessions.length, 1, told)
          for (const { status, session } of shown)
            assert.deepEqual([status, session!.id], ['signed-in', sessions[0]!.id], told)
        } else {
          assert.deepEqual(sessions, [], told)
          for (const { status } of shown) assert.notEqual(status, 'signed-in', told)
          if (last) for (const { status } of shown) assert.equal(status, 'signed-out', told)
        }

        // And so it is for the next calls, and for a tab that is opened now.
        const answers = Promise.all(
          [...browser.tabs, browser.open()].map(async (tab) => {
            const response = await tab.fetch(`${browser.origin}/api`)
            return response.ok ? (await response.json()).subject : response.status
          }),
        )
        let isOver = false
        answers.finally(() => {
          isOver = true
        })
        await browser.settle(() => isOver)
        const expected = last?.kind === 'signIn' ? sessions[0]!.subject : 401
        assert.deepEqual(await answers, [expected, expected, expected], told)
        await browser.close()
      }),
      { seed, numRuns },
    )
  },
)
