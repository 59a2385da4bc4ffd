// Clients that never give up, and a thief, for the crash and concurrency kits. Independent of how requests reach a server.

import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createDaypass } from '../core/daypass.ts'
import type { Store } from '../core/store.ts'
import { isDaypassError } from '../errors.ts'
import { createSeededRandom, freshSeed, type SeededRandom } from './random.ts'

/** A refresh on its way to some server. */
export interface KitRequest {
  refreshToken: string
  idempotencyKey: string
}

/** What came back: tokens, a code, or nothing at all. */
export type KitAnswer = { refreshToken: string; accessToken: string } | { code: string } | 'lost'

/** Options that both kits share. */
export interface KitLoad {
  /** How many sessions are refreshed at the same time. Default 8. */
  sessions?: number
  /** How many tabs refresh each session at the same time, sharing its storage and no lock. Default 3. */
  tabs?: number
  /** How many of the sessions a thief has a token of. Default 2. */
  prey?: number
  /** Default: another one each time, or the one in `DAYPASS_TEST_SEED`. */
  seed?: number
  /** Seconds in which everyone must get in again when all servers are well. Default 20. */
  patience?: number
}

/** What happened, in numbers. A kit that found anything wrong throws instead. */
export interface KitReport {
  seed: number
  seconds: number
  sessions: number
  /** Refreshes whose answer a client applied. */
  refreshes: number
  /** Requests that were never answered. */
  lost: number
  /** Races lost (409). */
  superseded: number
  /** Answers that said: later (503). */
  unavailable: number
  /** How often a thief was turned away, and how many sessions the theft ended. */
  thefts: number
  caught: number
  /** How many servers were killed. */
  kills: number
}

/** What one client keeps where it survives: a token, and the key of the refresh that it is asking for. */
interface Client {
  sessionId: string
  stolen: string | null
  storage: { token: string; pendingKey: string | null }
  over: string | null
  /** What it was told where it did not get on, and how often: for the story of a run that failed. */
  told: Record<string, number>
}

/** The clients of one run. */
export interface Clients {
  readonly chance: SeededRandom
  /** Refreshes until told to stop; resolves when nobody is asking any more. */
  run(until: Promise<unknown>): Promise<void>
  /** Every client that kept trying gets in once more; the rows are as they should be; the thief is caught. */
  finish(kills: number): Promise<KitReport>
}

const issuer = 'https://kit.daypass.example'

/**
 * Signs in the clients of a run.
 *
 * @param store Where the parent looks at the rows.
 * @param secret The secret of all servers.
 * @param ask Sends a request to some server; never throws.
 */
export async function createClients(
  store: Store,
  secret: string,
  ask: (request: KitRequest) => Promise<KitAnswer>,
  { sessions = 8, tabs = 3, prey = 2, seed = freshSeed(), patience = 20 }: KitLoad,
): Promise<Clients> {
  const began = performance.now()
  const chance = createSeededRandom(seed)
  const auth = createDaypass({ secret, issuer, store })
  const subject = `kit-${randomBytes(8).toString('hex')}`
  const wrong: string[] = []
  const counts = { refreshes: 0, lost: 0, superseded: 0, unavailable: 0, thefts: 0, caught: 0 }
  /** The one token that was ever handed out of each generation of each session. */
  const lineage = new Map<string, string>()

  const clients: Client[] = []
  for (let i = 0; i < sessions; i++) {
    const { refreshToken, session } = await auth.issue(subject)
    lineage.set(`${session.id} 0`, refreshToken)
    clients.push({
      sessionId: session.id,
      stolen: i < prey ? refreshToken : null,
      storage: { token: refreshToken, pendingKey: null },
      over: null,
      told: {},
    })
  }

  function follow(token: string): void {
    const name = `${sessionOf(token)} ${generationOf(token)}`
    const known = lineage.get(name)
    if (known !== undefined && known !== token) wrong.push(`two tokens of one generation: ${name}`)
    lineage.set(name, token)
  }

  /** One refresh, asked once. True where it brought the client on. */
  async function refresh(client: Client): Promise<boolean> {
    const { storage } = client
    // Kept before it is sent; the same until the answer is in.
    storage.pendingKey ??= newKey()
    const { token, pendingKey } = storage
    const answer = await ask({ refreshToken: token, idempotencyKey: pendingKey })
    if (answer === 'lost') {
      counts.lost++
      client.told.nothing = (client.told.nothing ?? 0) + 1
      return false
    }
    if ('code' in answer) {
      client.told[answer.code] = (client.told[answer.code] ?? 0) + 1
      if (answer.code === 'ERR_REFRESH_SUPERSEDED') counts.superseded++
      else if (answer.code.startsWith('ERR_STORE_')) counts.unavailable++
      else client.over = answer.code
      return false
    }
    follow(answer.refreshToken)
    if (sessionOf(answer.refreshToken) !== client.sessionId) wrong.push('a token of another session came')
    if (storage.token !== token) return false
    storage.token = answer.refreshToken
    if (storage.pendingKey === pendingKey) storage.pendingKey = null
    counts.refreshes++
    return true
  }

  async function tab(client: Client, isOver: () => boolean): Promise<void> {
    while (!isOver() && client.over === null) {
      if (!(await refresh(client))) await delay(chance.below(15))
    }
  }

  /** Comes with a copy of the first token, once its owner has gone on for sure. */
  async function thief(client: Client, isOver: () => boolean): Promise<void> {
    while (!isOver() && client.over === null) {
      await delay(20 + chance.below(60))
      if (generationOf(client.storage.token) >= 2) await steal(client)
    }
  }

  async function steal(client: Client): Promise<void> {
    const answer = await ask({ refreshToken: client.stolen!, idempotencyKey: newKey() })
    if (answer === 'lost') return
    counts.thefts++
    if (!('code' in answer)) wrong.push('a thief was let in')
  }

  /** The owner of a session with no thief about never loses it. */
  function checkOwners(): void {
    for (const { over, stolen, sessionId } of clients) {
      const caught = stolen !== null && (over === 'ERR_REFRESH_TOKEN_REUSED' || over === 'ERR_SESSION_REVOKED')
      if (over !== null && !caught) wrong.push(`signed out by bad luck: ${sessionId}, ${over}`)
    }
  }

  async function checkRows(): Promise<void> {
    const rows = await store.list(subject, Date.now(), 100)
    const expected = clients.filter((client) => client.over === null)
    if (rows.length !== expected.length) wrong.push(`${expected.length} sessions live, ${rows.length} rows`)
    for (const { sessionId, storage } of expected) {
      const row = rows.find((each) => each.id === sessionId)
      if (row === undefined) wrong.push(`the row of ${sessionId} is lost`)
      else if (row.generation !== generationOf(storage.token)) {
        wrong.push(`the row of ${sessionId} is at ${row.generation}, its client at ${generationOf(storage.token)}`)
      }
    }
  }

  /** An hour later, when no race can be meant: the copy ends the session it was taken from, and no other. */
  async function catchThieves(): Promise<void> {
    const later = createDaypass({ secret, issuer, store, clock: () => Date.now() + 3_600_000 })
    const codeOf = async (refreshToken: string) => {
      try {
        await later.refresh(refreshToken, { idempotencyKey: newKey() })
        return 'let in'
      } catch (error) {
        return isDaypassError(error) ? error.code : String(error)
      }
    }
    for (const { stolen, storage, over } of clients) {
      if (stolen !== null) {
        const expected = over === null ? 'ERR_REFRESH_TOKEN_REUSED' : 'ERR_SESSION_REVOKED'
        const code = await codeOf(stolen)
        if (code !== expected) wrong.push(`an old copy an hour later: ${code} and not ${expected}`)
        counts.caught++
      }
      const code = await codeOf(storage.token)
      const expected = stolen === null ? 'let in' : 'ERR_SESSION_REVOKED'
      if (code !== expected) wrong.push(`the owner an hour later: ${code} and not ${expected}`)
    }
  }

  return {
    chance,
    async run(until) {
      let over = false
      const isOver = () => over
      const all = clients.flatMap((client) => {
        const asking = Array.from({ length: tabs }, () => tab(client, isOver))
        return client.stolen === null ? asking : [...asking, thief(client, isOver)]
      })
      const asked = Promise.all(all)
      try {
        // Where nobody has a session left to ask with, what was waited for may never come.
        await Promise.race([until, asked])
      } finally {
        over = true
        await asked
      }
    },
    async finish(kills) {
      const deadline = Date.now() + patience * 1000
      for (const client of clients) {
        client.told = {}
        while (client.over === null && !(await refresh(client))) {
          if (wrong.length > 0) break
          if (Date.now() > deadline) {
            wrong.push(`${client.sessionId} does not get in any more; it was told ${JSON.stringify(client.told)}`)
            break
          }
          await delay(5)
        }
        if (client.stolen !== null && client.over === null) await steal(client)
      }
      checkOwners()
      await checkRows()
      await catchThieves()
      if (wrong.length > 0) {
        const shown = [...new Set(wrong)].slice(0, 10).join('\n  ')
        throw new Error(`With seed ${seed}, ${wrong.length} things wrong:\n  ${shown}`)
      }
      const seconds = Math.round(performance.now() - began) / 1000
      return { seed, seconds, sessions, kills, ...counts }
    },
  }
}

const newKey = () => randomBytes(24).toString('base64url')
const bytesOf = (token: string) => Buffer.from(token.slice(4), 'base64url')
const sessionOf = (token: string) => bytesOf(token).toString('base64url', 2, 18)
const generationOf = (token: string) => bytesOf(token).readUInt32BE(18)
