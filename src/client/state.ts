// Who is signed in as far as this client knows, and who is told when that changes?

import type { Access, ClientSession } from './answer.ts'
import { DaypassClientError } from './errors.ts'

/**
 * - `unknown`: nobody has asked the server yet.
 * - `signed-in`: there is a session and, as far as the clock tells, a good access token.
 * - `refreshing`: a new access token is being asked for.
 * - `offline`: there is no good access token, and none could be had just now; the session is kept.
 * - `signed-out`: there is no session; `reason` says why.
 */
export type SessionStatus = 'unknown' | 'signed-in' | 'refreshing' | 'offline' | 'signed-out'

/** What a client knows, as a value that stays the same object until something changes. */
export interface SessionSnapshot {
  status: SessionStatus
  /** The session, while there is one. */
  session?: ClientSession
  /** When the access token ends, in milliseconds of the client's `clock` (compare with `performance.now()`). */
  expiresAt?: number
  /** How long the access token was good for when it came, in seconds. */
  expiresIn?: number
  /** Why it is `offline` or `signed-out`: `sign-out`, `no-session`, a server's code, `HTTP 502`, `ECONNREFUSED` … */
  reason?: string
}

/** What belongs to one session: what was begun in its name fails when it aborts. */
export interface Fence extends AbortController {
  /** The refresh that all calls of this session share. */
  flight?: Promise<void>
}

export type State = ReturnType<typeof createState>

/** Keeps the access token (in memory and nowhere else) and the snapshot. `clock` gives milliseconds. */
export function createState(clock: () => number) {
  const state = {
    snapshot: { status: 'unknown' } as SessionSnapshot,
    /** The access token, unless a server refused it. */
    token: undefined as string | undefined,
    /** Aborts when the session is over or another one begins: its calls fail, and what comes late for it is dropped. */
    fence: new AbortController() as Fence,
    /** Aborts the one request about tokens that is under way. */
    request: new AbortController(),
    /** Until when the server wants to be left alone, by the clock. */
    notBefore: -Infinity,
    listeners: new Set<() => void>(),

    /** Milliseconds for which the access token is still good; 0 = there is none, or a dead one. */
    left: () => (state.token ? Math.max(0, state.snapshot.expiresAt! - clock()) : 0),

    show(status: SessionStatus, reason?: string) {
      state.snapshot = { ...state.snapshot, status, reason }
      // Each in its own time: a listener that throws or is slow holds up neither a refresh nor the other listeners.
      for (const listener of state.listeners) queueMicrotask(listener)
    },

    /** Takes up what the server gave. Another session than before is another person for all we know. */
    begin({ accessToken, expiresIn, session }: Access) {
      if (session?.id !== state.snapshot.session?.id) drop('another-session')
      state.token = accessToken
      state.snapshot = { status: 'signed-in', session, expiresIn, expiresAt: clock() + expiresIn * 1000 }
      state.show('signed-in')
    },

    /** The session is over. Calls that never knew of one (a visitor's first) go on without a token, but for a sign-out. */
    end(reason: string) {
      drop(reason)
      state.show('signed-out', reason)
    },
  }

  function drop(reason: string) {
    const { fence, request, snapshot } = state
    state.token = undefined
    if (reason !== 'sign-out' && !snapshot.expiresAt) return
    state.snapshot = { status: 'unknown' }
    state.fence = new AbortController()
    request.abort()
    fence.abort(new DaypassClientError('ERR_SIGNED_OUT', { reason }))
  }
  return state
}
