// One server process of the crash kit. It refreshes the tokens it is sent until it is killed.

import { flushCompileCache } from 'node:module'
import type { Daypass } from '../core/api.ts'
import { createDaypass } from '../core/daypass.ts'
import { isDaypassError } from '../errors.ts'
import type { KitAnswer, KitRequest } from './kit-clients.ts'
import { openKitStore, type StoreSource } from './store-source.ts'

/** What the parent sends: first how to open the store, then requests. */
export type ToWorker =
  | { kind: 'open'; store: StoreSource; secret: string }
  | { kind: 'refresh'; id: number; request: KitRequest; dieBeforeAnswer: boolean }

/** What comes back. */
export type FromWorker =
  | { kind: 'ready' }
  | { kind: 'failed'; reason: string }
  | { kind: 'answer'; id: number; answer: KitAnswer }

let auth: Daypass

process.on('message', async (message: ToWorker) => {
  if (message.kind === 'open') {
    try {
      const store = await openKitStore(message.store)
      auth = createDaypass({ secret: message.secret, issuer: 'https://kit.daypass.example', store })
      send({ kind: 'ready' })
      // By itself it is written at the end, which never comes.
      flushCompileCache()
    } catch (error) {
      send({ kind: 'failed', reason: isDaypassError(error) ? error.code : String((error as Error).stack) })
    }
    return
  }
  const answer = await refresh(message.request)
  // After the commit and before the answer: what a client cannot tell from a request that never arrived.
  if (message.dieBeforeAnswer) process.kill(process.pid, 'SIGKILL')
  send({ kind: 'answer', id: message.id, answer })
})
// A worker that is not killed ends with its parent.
process.on('disconnect', () => process.exit())

async function refresh({ refreshToken, idempotencyKey }: KitRequest): Promise<KitAnswer> {
  try {
    const tokens = await auth.refresh(refreshToken, { idempotencyKey })
    return { refreshToken: tokens.refreshToken, accessToken: tokens.accessToken }
  } catch (error) {
    return { code: isDaypassError(error) ? error.code : String((error as Error).stack) }
  }
}

function send(message: FromWorker): void {
  process.send!(message)
}
