// In-process version of the crash kit: concurrent clients, lost requests and lost responses.

import { randomBytes } from 'node:crypto'
import { createDaypass } from '../core/daypass.ts'
import type { Store } from '../core/store.ts'
import { DaypassError, isDaypassError } from '../errors.ts'
import { createClients, type KitLoad, type KitReport, type KitRequest, type KitResponse } from './kit-clients.ts'

/** Options of {@link runConcurrencyKit}. */
export interface ConcurrencyKitOptions extends KitLoad {
  /** One or more stores on the same database. Each gets a server. The caller closes them. */
  stores: readonly Store[]
  /** The least number of requests. Default 3,000. */
  requests?: number
  /** The share of requests that get lost, and also the share of responses. Default 0.1. */
  loss?: number
  /** Runs during the load, for example to restart the engine. Requests continue at least until its promise settles. */
  meanwhile?: () => Promise<unknown>
}

/**
 * Runs clients against servers in this process, and then makes the same checks as {@link runCrashKit}. Use it for stores
 * that only one process can open, and for a quick check of any other store.
 *
 * @throws Error with the seed and a list of everything that was wrong. DaypassError `ERR_OPTION_INVALID` if there is no
 *   store.
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
  const [first] = stores
  if (first === undefined) throw new DaypassError('ERR_OPTION_INVALID', 'Give one or more `stores`.')
  const secret = randomBytes(48).toString('base64url')
  const servers = stores.map((store) => createDaypass({ secret, issuer: 'https://kit.daypass.example', store }))
  const enough = Promise.withResolvers<void>()
  let sent = 0

  const clients = await createClients(first, secret, send, options)

  async function send({ refreshToken, idempotencyKey }: KitRequest): Promise<KitResponse> {
    if (++sent >= requests) enough.resolve()
    const { chance } = clients
    for (let turns = chance.below(4); turns >= 0; turns--) await new Promise((resolve) => setImmediate(resolve))
    if (sent < requests && chance.next() < loss) return 'lost'
    const isResponseLost = sent < requests && chance.next() < loss
    try {
      const tokens = await chance.pick(servers).refresh(refreshToken, { idempotencyKey })
      return isResponseLost ? 'lost' : { refreshToken: tokens.refreshToken, accessToken: tokens.accessToken }
    } catch (error) {
      if (!isDaypassError(error)) throw error
      return isResponseLost ? 'lost' : { code: error.code }
    }
  }

  await clients.run(Promise.all([enough.promise, meanwhile?.()]))
  return clients.finish(0)
}
