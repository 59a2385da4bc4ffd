// What does a client remember, and where, so that a crash between two lines loses nothing?

import { maybe } from './wait.ts'

/**
 * A place for small texts, synchronous or not; a `Map` is one. What is `set` must still be there after a crash: the client
 * writes before it sends. In the body transport the refresh token is in it: give a place that only this person can read.
 */
export interface ClientStorage {
  get(name: string): string | null | undefined | Promise<string | null | undefined>
  set(name: string, value: string): unknown
}

/** What is remembered, as one text, so that it is written whole or not at all. */
export interface Memory {
  /** The refresh token; body transport only. */
  token?: string | undefined
  /** The Idempotency-Key of a refresh whose answer is not stored yet. */
  key?: string | undefined
  /** The key of the last refresh whose answer is stored. */
  last?: string | undefined
  /** When the session began, and its id. */
  at?: number | undefined
  session?: string | undefined
  /**
   * Signed in with no sign-out under way, and not refreshed yet; cookie transport only. The cookie should come along with
   * the next refresh.
   */
  isNew?: boolean | undefined
  /** Nobody is signed in since then: spares a visitor the asking at every page load. */
  out?: number | undefined
  /** Sign-outs that the server has not heard of: refresh tokens in the body transport, else sessions' ids. */
  untold?: string[] | undefined
}

const isText = (value: any) => value.trim
const isInstant = Number.isSafeInteger
const rules: { [name in keyof Memory]-?: (value: any) => unknown } = {
  token: isText,
  key: isText,
  last: isText,
  session: isText,
  at: isInstant,
  out: isInstant,
  isNew: Boolean,
  untold: (value) => value.every?.(isText),
}

/** What was remembered, but for what is not as it was written. Undefined for a text that is not ours. */
export function parseMemory(text: unknown): Memory | undefined {
  return maybe(() => {
    const memory = JSON.parse(text as string)
    for (const name in memory) if (!rules[name as keyof Memory]?.(memory[name] ?? 0)) delete memory[name]
    return memory
  })
}

/** Remembers in localStorage; what it will not take (forbidden, full) as long as the page lives. */
export function createWebStorage(): ClientStorage {
  let refused: string | undefined
  return {
    get(name) {
      try {
        return refused ?? localStorage[name]
      } catch {}
    },
    set(name, value) {
      try {
        localStorage[name] = value
        refused = undefined
      } catch {
        refused = value
      }
    },
  }
}
