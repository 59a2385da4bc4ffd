// What does a client remember, and where, so that a crash between two lines loses nothing?

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
  /** Signed in, and not refreshed yet; cookie transport only. The cookie should come along with the next refresh. */
  isNew?: boolean | undefined
  /** Nobody is signed in since then: spares a visitor the asking at every page load. */
  out?: number | undefined
  /** Sign-outs that the server has not heard of: refresh tokens in the body transport, else sessions' ids. */
  untold?: string[] | undefined
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
