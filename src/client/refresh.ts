// How is a refresh asked for, and what does each answer to it mean?

import { type Answer, delayAfter, failed, isOver } from './answer.ts'
import { DaypassClientError } from './errors.ts'
import type { Lock } from './lock.ts'
import type { State } from './state.ts'
import type { Memory } from './storage.ts'
import type { Tell } from './tabs.ts'
import { orAbort } from './wait.ts'

/** How many times a refresh is tried for those who wait for it, and for how long (milliseconds). */
const mostTries = 4
const longestRefresh = 15_000

/** What a refresh needs around it; `client.ts` puts it together. */
export interface RefreshParts {
  isBody: boolean
  state: State
  memory: { read(): Promise<Memory>; write(memory: Memory): Promise<unknown> }
  lock: Lock
  /** Tells this client's state and the other tabs'. */
  tell: Tell
  /** Asks at `/refresh`. */
  post: (body: object, headers: Record<string, string>) => Promise<Answer>
  clock: () => number
  sleep: (milliseconds: number) => Promise<unknown>
  random: (size: number) => Uint8Array
}

/** Makes the refresh that all calls of a client share. */
export function createRefresh({ isBody, state, memory, lock, tell, post, clock, sleep, random }: RefreshParts) {
  let failure: Answer | undefined

  /** One question to the server, its key written down before and its answer after. Returns what was no verdict. */
  async function attempt(isSettled: () => boolean, seen: Memory, isForced: boolean): Promise<Answer | undefined> {
    const sent = await memory.read()
    // Another tab finished while this one waited for its turn: what it got is on its way here.
    for (let i = 0; sent.last !== seen.last && !isSettled() && i < 10; i++) await sleep(20)
    if (isSettled()) return
    seen.last = sent.last
    if (isBody ? !sent.token : sent.out && !isForced) return void state.end('no-session')

    state.show('refreshing')
    const { token, last, key = btoa(String.fromCharCode(...random(18))) } = sent
    await memory.write({ token, last, key })
    const previous = !isBody && last ? `; previous="${last}"` : ''
    const answer = await post({ refreshToken: token }, { 'idempotency-key': `"${key}"${previous}` })
    const { access, refreshToken, told } = answer
    if (!access && !isOver(answer)) return answer

    const now = await memory.read()
    if (now.out) return void state.end('sign-out')
    // Another's newer state is not ours to overwrite. Tokens in the cookie transport are in the jar already: newest wins.
    const isOurs = isBody ? now.token === token || now.token === refreshToken : access || now.key === key
    if (!isOurs) return answer
    await memory.write(
      access
        ? { token: isBody ? refreshToken : undefined, last: key, key: now.key === key ? undefined : now.key }
        : { out: true },
    )
    if (!isSettled()) tell({ access, begins: isForced, reason: told.reason })
  }

  async function run(isForced: boolean): Promise<void> {
    const { fence, token } = state
    // Over, or a newer token came by another way. (One that was refused meanwhile is no newer token.)
    const isSettled = () => fence.signal.aborted || Boolean(state.token && state.token !== token)
    const start = clock()
    const seen = await memory.read()
    for (let tries = 0; !isSettled(); ) {
      const wait = Math.max(0, state.notBefore - clock())
      // A call whose token is still good does not wait for a second try; a later call makes it.
      const isEnough = tries && (tries === mostTries || (!isForced && state.left()))
      if (isEnough || clock() + wait > start + longestRefresh) {
        state.show(state.left() ? 'signed-in' : 'offline', failure!.told.reason)
        throw new DaypassClientError('ERR_OFFLINE', { ...failure!.told, retryAfter: wait / 1000 })
      }
      if (wait) await sleep(wait)
      const answer = await lock(() => attempt(isSettled, seen, isForced)).catch(failed)
      if (!answer) return
      failure = answer
      state.notBefore = clock() + Math.max(delayAfter(answer, ++tries, random), state.left() && 1000)
    }
  }

  /** Joins the refresh in flight, or begins one. Rejects with ERR_OFFLINE, or with ERR_SIGNED_OUT as the fence says. */
  return (isForced = false): Promise<void> => {
    const { fence } = state
    fence.flight ??= run(isForced).finally(() => {
      fence.flight = undefined
    })
    return orAbort(fence.flight, fence.signal)
  }
}
