// Audit events emitted through `onEvent`.

import type { Device, RevokedReason, Session } from './session.ts'

/** What every event says. No token, key or secret is in any of them. */
interface EventBase {
  /** Milliseconds since the epoch. */
  at: number
  sessionId: string
  subject: string
  clientId: string
  /** The generation of the session's newest refresh token. */
  generation: number
  /** Where the session lives. */
  device: Device
  /** Who asked, where a request did. */
  request: RequestOrigin
}

/** Where a request came from, as far as that is known. */
export interface RequestOrigin {
  ip?: string | undefined
  userAgent?: string | undefined
}

/**
 * - `issued`: a sign-in. `adopted`: a token of an older scheme was traded for a session. `rotated`: a refresh; `healed` where the store had lost writes. `replayed`: the same refresh
 *   asked again (a lost answer). `retried`: a keyless one asked again. `superseded`: a race lost, nothing changed.
 * - `reused`: a copy of a token was presented: tell the person. A `revoked` of the same session follows.
 * - `revoked`: a session ended early, with the reason. `expired`: one was used after its time.
 */
export type DaypassEvent = EventBase &
  (
    | { type: 'issued' | 'adopted' | 'replayed' | 'retried' | 'expired' }
    | { type: 'rotated'; healed: boolean }
    | { type: 'superseded' | 'reused'; presentedGeneration: number }
    | { type: 'revoked'; reason: RevokedReason }
  )

type Detail<E> = E extends unknown ? Omit<E, keyof EventBase> : never

/** What an event says beside what its session says. */
export type EventDetail = Detail<DaypassEvent>

/** Calls the app's listener. */
export type EmitEvent = (session: Session, detail: EventDetail, request?: RequestOrigin) => void

/** Makes the function that calls the app's listener; free where there is none. */
export function createEmitter(onEvent: ((event: DaypassEvent) => void) | undefined, clock: () => number): EmitEvent {
  return function emit(session, detail, request = {}) {
    if (onEvent === undefined) return
    const { id: sessionId, subject, clientId, generation, device } = session
    const { ip, userAgent } = request
    const event = {
      ...detail,
      at: clock(),
      sessionId,
      subject,
      clientId,
      generation,
      device,
      request: { ip, userAgent },
    }
    try {
      // An async listener's failure is its own: a refresh is not undone by an audit log that is away.
      const result = onEvent(event as DaypassEvent) as unknown
      if (result !== undefined) Promise.resolve(result).catch(() => {})
    } catch {}
  }
}
