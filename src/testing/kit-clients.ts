// The clients and the thieves of the crash and concurrency kits. The kit decides how a request reaches a server.

import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createDaypass } from '../core/daypass.ts'
import type { Store } from '../core/store.ts'
import { isDaypassError } from '../errors.ts'
import { createSeededRandom, freshSeed, type SeededRandom } from './random.ts'

/** A refresh request. */
export interface KitRequest {
  refreshToken: string
  idempotencyKey: string
}

/** The response to a refresh: tokens, an error code, or nothing. */
export type KitResponse = { refreshToken: string; accessToken: string } | { code: string } | 'lost'

/** Options that both kits share. */
export interface KitLoad {
  /** The number of sessions that are refreshed at the same time. Default 8. */
  sessions?: number
  /** The number of tabs that refresh each session at the same time. They share its storage, but no lock. Default 3. */
  tabs?: number
  /** The number of sessions whose first token a thief copied. Default 2. */
  prey?: number
  /** The seed of the random numbers. Default: `DAYPASS_TEST_SEED`, or a new seed each time. */
  seed?: number
  /** Seconds in which every client must refresh once more when all servers work again. Default 20. */
  patience?: number
}

/** The numbers of a run. A kit that finds anything wrong throws instead. */
export interface KitReport {
  seed: number
  seconds: number
  sessions: number
  /** Refreshes whose tokens a client stored. */
  refreshes: number
  /** Requests without a response. */
  lost: number
  /** Refreshes that lost a race (409). */
  superseded: number
  /** Responses that asked to retry later (503). */
  unavailable: number
  /** Responses to a thief. None has a token. */
  thefts: number
  /** Stolen sessions that the theft ended. */
  caught: number
  /** Server processes that were killed. */
  kills: number
}

/** One session's owner. The tabs share its storage: a token, and the key of the refresh that is pending. */
interface Client {
  sessionId: string
  /** The first token, if a thief has a copy of it. */
  stolen: string | null
  storage: { token: string; pendingKey: string | null }
  /** The error code that ended the session. */
  over: string | null
  /** How often each refresh failed, by error code. The error of a failed run shows it. */
  failures: Record<string, number>
}

/** The clients of one run. */
export interface Clients {
  readonly chance: SeededRandom
  /** Refreshes until the given promise settles. Resolves when no request is in flight. */
  run(until: Promise<unknown>): Promise<void>
  /** Lets every client refresh once more, and checks the owners, the rows and the thieves. */
  finish(kills: number): Promise<KitReport>
}

const issuer = 'https://kit.daypass.example'

/**
 * Signs in the clients of a run.
 *
 * @param store The store whose rows are checked.
 * @param secret The secret of all servers.
 * @param send Sends a request to one of the servers. It never throws.
 */
export async function createClients(
  store: Store,
  secret: string,
  send: (request: KitRequest) => Promise<KitResponse>,
  { sessions = 8, tabs = 3, prey = 2, seed = freshSeed(), patience = 20 }: KitLoad,
): Promise<Clients> {
  const began = performance.now()
  const chance = createSeededRandom(seed)
  const auth = createDaypass({ secret, issuer, store })
  const subject = `kit-${randomBytes(8).toString('hex')}`
  const wrong: string[] = []
  const counts = { refreshes: 0, lost: 0, superseded: 0, unavailable: 0, thefts: 0, caught: 0 }
  /** The only token that was issued for each generation of each session. */
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
      failures: {},
    })
  }

  function follow(token: string): void {
    const name = `${sessionOf(token)} ${generationOf(token)}`
    const known = lineage.get(name)
    if (known !== undefined && known !== token) wrong.push(`two tokens of one generation: ${name}`)
    lineage.set(name, token)
  }

  /** Sends one refresh. True if the client stored the new token. */
  async function refresh(client: Client): Promise<boolean> {
    const { storage } = client
    // Store the key before the request is sent, and keep it until the response has come.
    storage.pendingKey ??= newKey()
    const { token, pendingKey } = storage
    const response = await send({ refreshToken: token, idempotencyKey: pendingKey })
    if (response === 'lost') {
      counts.lost++
      countFailure(client, 'no response')
      return false
    }
    if ('code' in response) {
      countFailure(client, response.code)
      if (response.code === 'ERR_REFRESH_SUPERSEDED') counts.superseded++
      else if (response.code.startsWith('ERR_STORE_')) counts.unavailable++
      else client.over = response.code
      return false
    }
    follow(response.refreshToken)
    if (sessionOf(response.refreshToken) !== client.sessionId) wrong.push('a response had a token of another session')
    if (storage.token !== token) return false
    storage.token = response.refreshToken
    if (storage.pendingKey === pendingKey) storage.pendingKey = null
    counts.refreshes++
    return true
  }

  function countFailure({ failures }: Client, name: string): void {
    failures[name] = (failures[name] ?? 0) + 1
  }

  async function tab(client: Client, isOver: () => boolean): Promise<void> {
    while (!isOver() && client.over === null) {
      if (!(await refresh(client))) await delay(chance.below(15))
    }
  }

  /** Presents a copy of the first token after its owner has refreshed at least twice. */
  async function thief(client: Client, stolen: string, isOver: () => boolean): Promise<void> {
    while (!isOver() && client.over === null) {
      await delay(20 + chance.below(60))
      if (generationOf(client.storage.token) >= 2) await steal(stolen)
    }
  }

  async function steal(stolen: string): Promise<void> {
    const response = await send({ refreshToken: stolen, idempotencyKey: newKey() })
    if (response === 'lost') return
    counts.thefts++
    if (!('code' in response)) wrong.push('a thief got a token')
  }

  /** An owner must not lose a session of which a thief has no copy. */
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

  /** An hour later a copy cannot be a lost race. It must end its session, and no other. */
  async function catchThieves(): Promise<void> {
    const later = createDaypass({ secret, issuer, store, clock: () => Date.now() + 3_600_000 })
    const codeOf = async (refreshToken: string) => {
      try {
        await later.refresh(refreshToken, { idempotencyKey: newKey() })
        return 'refreshed'
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
      const expected = stolen === null ? 'refreshed' : 'ERR_SESSION_REVOKED'
      if (code !== expected) wrong.push(`the owner an hour later: ${code} and not ${expected}`)
    }
  }

  return {
    chance,
    async run(until) {
      let over = false
      const isOver = () => over
      const all = clients.flatMap((client) => {
        const refreshing = Array.from({ length: tabs }, () => tab(client, isOver))
        return client.stolen === null ? refreshing : [...refreshing, thief(client, client.stolen, isOver)]
      })
      const done = Promise.all(all)
      try {
        // If all sessions have ended, `until` may never settle.
        await Promise.race([until, done])
      } finally {
        over = true
        await done
      }
    },
    async finish(kills) {
      const deadline = Date.now() + patience * 1000
      for (const client of clients) {
        client.failures = {}
        while (client.over === null && !(await refresh(client))) {
          if (wrong.length > 0) break
          if (Date.now() > deadline) {
            wrong.push(`${client.sessionId} cannot refresh any more: ${JSON.stringify(client.failures)}`)
            break
          }
          await delay(5)
        }
        if (client.stolen !== null && client.over === null) await steal(client.stolen)
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
