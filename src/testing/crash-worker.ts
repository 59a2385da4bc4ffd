// One server process of the crash kit. It refreshes the tokens that the kit sends until it is killed.

import { flushCompileCache } from 'node:module'
import type { Daypass } from '../core/api.ts'
import { createDaypass } from '../core/daypass.ts'
import { isDaypassError } from '../errors.ts'
import type { KitRequest, KitResponse } from './kit-clients.ts'
import { openKitStore, type StoreSource } from './store-source.ts'

/** Messages from the kit: first how to open the store, then requests. */
export type ToWorker =
  | { kind: 'open'; store: StoreSource; secret: string }
  | { kind: 'refresh'; id: number; request: KitRequest; dieBeforeResponse: boolean }

/** Messages to the kit. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'failed'; reason: string }
  | { kind: 'response'; id: number; response: KitResponse }

let auth: Daypass

process.on('message', async (message: ToWorker) => {
  if (message.kind === 'open') {
    try {
      const store = await openKitStore(message.store)
      auth = createDaypass({ secret: message.secret, issuer: 'https://kit.daypass.example', store })
      send({ kind: 'ready' })
      // Node.js would write the cache when the process ends, but this process is killed.
      flushCompileCache()
    } catch (error) {
      send({ kind: 'failed', reason: isDaypassError(error) ? error.code : String((error as Error).stack) })
    }
    return
  }
  const response = await refresh(message.request)
  // Between the commit and the response. To the client it looks like a request that never arrived.
  if (message.dieBeforeResponse) process.kill(process.pid, 'SIGKILL')
  send({ kind: 'response', id: message.id, response })
})
// A worker that is not killed ends with its parent.
process.on('disconnect', () => process.exit())

async function refresh({ refreshToken, idempotencyKey }: KitRequest): Promise<KitResponse> {
  try {
    const tokens = await auth.refresh(refreshToken, { idempotencyKey })
    return { refreshToken: tokens.refreshToken, accessToken: tokens.accessToken }
  } catch (error) {
    return { code: isDaypassError(error) ? error.code : String((error as Error).stack) }
  }
}

function send(message: FromWorker): void {
  process.send?.(message)
}
