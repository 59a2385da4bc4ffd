// The client's memory, and its storage: written before each request, so that a crash loses nothing.

import { maybe } from './wait.ts'

/**
 * A store of small strings, synchronous or not; a `Map` is one. A string that was `set` must survive a crash: the client
 * writes before it sends. In the body transport it holds the refresh token, so only this person may be able to read it.
 */
export interface ClientStorage {
  get(name: string): string | null | undefined | Promise<string | null | undefined>
  set(name: string, value: string): unknown
}

/** The client's memory. It is stored as one string, so that it is written whole or not at all. */
export interface Memory {
  /** The refresh token; body transport only. */
  token?: string | undefined
  /** The Idempotency-Key of a refresh whose response is not stored yet. */
  key?: string | undefined
  /** The key of the last refresh whose response is stored. */
  last?: string | undefined
  /** When the session began, and its id. */
  at?: number | undefined
  session?: string | undefined
  /**
   * Signed in without a pending sign-out, and not refreshed yet; cookie transport only. So the next refresh should bring the
   * cookie.
   */
  isNew?: boolean | undefined
  /** When the session ended; set while nobody is signed in. It saves a visitor a request at every page load. */
  out?: number | undefined
  /** Sign-outs that the server has not confirmed: refresh tokens in the body transport, else ids of sessions. */
  pending?: string[] | undefined
}

const isText = (value: unknown) => Object(value).trim
const isInstant = Number.isSafeInteger
const rules: { [name in keyof Memory]-?: (value: unknown) => unknown } = {
  token: isText,
  key: isText,
  last: isText,
  session: isText,
  at: isInstant,
  out: isInstant,
  isNew: Boolean,
  pending: (value) => Object(value).every?.(isText),
}

/** Parses the stored memory, without members of a wrong type. Returns undefined for a text that is not JSON. */
export function parseMemory(text: unknown): Memory | undefined {
  return maybe(() => {
    const memory = JSON.parse(text as string)
    for (const name in memory) if (!rules[name as keyof Memory]?.(memory[name])) delete memory[name]
    return memory
  })
}

/** Stores in localStorage. If it rejects a value (forbidden, full), the page keeps the value in memory. */
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
