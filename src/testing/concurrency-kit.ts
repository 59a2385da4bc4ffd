// In-process version of the crash kit: many clients at once, with requests and responses that get lost.

import { randomBytes } from 'node:crypto'
import { createDaypass } from '../core/daypass.ts'
import type { Store } from '../core/store.ts'
import { isDaypassError } from '../errors.ts'
import { createClients, type KitAnswer, type KitLoad, type KitReport, type KitRequest } from './kit-clients.ts'

/** Options of {@link runConcurrencyKit}. */
export interface ConcurrencyKitOptions extends KitLoad {
  /** One or more stores on the same database: one server each. The caller closes them. */
  stores: readonly Store[]
  /** How many requests are sent, at least. Default 3,000. */
  requests?: number
  /** The share of requests, and again of answers, that get lost. Default 0.1. */
  loss?: number
  /** What happens in the middle of it: stop the engine and start it again, say. The requests go on at least until then. */
  meanwhile?: () => Promise<unknown>
}

/**
 * Runs clients against servers in this process; what {@link runCrashKit} checks afterwards is checked here too. For
 * stores that only one process can open, and for a quick look at any other.
 *
 * @throws Error naming what was found wrong, and the seed.
 * @example
 * ```ts
 * import { createMemoryStore } from 'daypass/memory'
 * import { runConcurrencyKit } from 'daypass/testing'
 *
 * const { refreshes } = await runConcurrencyKit({ stores: [createMemoryStore()] })
 * console.log(refreshes)
 * ```
 */
export async function runConcurrencyKit(options: ConcurrencyKitOptions): Promise<KitReport> {
  const { stores, requests = 3000, loss = 0.1, meanwhile } = options
  const secret = randomBytes(48).toString('base64url')
  const servers = stores.map((store) => createDaypass({ secret, issuer: 'https://kit.daypass.example', store }))
  const enough = Promise.withResolvers<void>()
  let sent = 0

  const clients = await createClients(stores[0]!, secret, ask, options)

  async function ask({ refreshToken, idempotencyKey }: KitRequest): Promise<KitAnswer> {
    if (++sent >= requests) enough.resolve()
    const { chance } = clients
    for (let turns = chance.below(4); turns >= 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    if (sent < requests && chance.next() < loss) return 'lost'
    const isAnswerLost = sent < requests && chance.next() < loss
    try {
      const tokens = await chance.pick(servers).refresh(refreshToken, { idempotencyKey })
      return isAnswerLost ? 'lost' : { refreshToken: tokens.refreshToken, accessToken: tokens.accessToken }
    } catch (error) {
      if (!isDaypassError(error)) throw error
      return isAnswerLost ? 'lost' : { code: error.code }
    }
  }

  await clients.run(Promise.all([enough.promise, meanwhile?.()]))
  return clients.finish(0)
}
