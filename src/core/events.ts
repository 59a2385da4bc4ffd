// Audit events emitted through `onEvent`.

import type { Device, RevokedReason, Session } from './session.ts'

/** The members of every event. No event contains a token, a key or a secret. */
interface EventBase {
  /** Milliseconds since the epoch. */
  at: number
  sessionId: string
  subject: string
  clientId: string
  /** The generation of the session's newest refresh token. */
  generation: number
  /** The device of the session. */
  device: Device
  /** The request that caused the event; its members are undefined if there was none. */
  request: RequestOrigin
}

/** The origin of a request, as far as it is known. */
export interface RequestOrigin {
  ip?: string | undefined
  userAgent?: string | undefined
}

/**
 * - `issued`: a sign-in. `adopted`: a token of an older scheme was traded for a session.
 * - `rotated`: a refresh. `healed` is true if the store had lost writes.
 * - `replayed`: the same refresh was sent again, after a lost response. `retried`: the same without an Idempotency-Key.
 * - `superseded`: another refresh came first; nothing changed.
 * - `reused`: a copy of a token was presented. Inform the person. A `revoked` event of the same session follows.
 * - `revoked`: a session was ended early, for `reason`. `expired`: a token was presented after its session's end.
 */
export type DaypassEvent = EventBase &
  (
    | { type: 'issued' | 'adopted' | 'replayed' | 'retried' | 'expired' }
    | { type: 'rotated'; healed: boolean }
    | { type: 'superseded' | 'reused'; presentedGeneration: number }
    | { type: 'revoked'; reason: RevokedReason }
  )

type Detail<E> = E extends unknown ? Omit<E, keyof EventBase> : never

/** The members of an event that do not come from its session. */
export type EventDetail = Detail<DaypassEvent>

/** Calls the app's listener. */
export type EmitEvent = (session: Session, detail: EventDetail, request?: RequestOrigin) => void

/** Makes the function that calls the app's listener. Without a listener it does nothing. */
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
      // Ignore a rejection of an async listener: a refresh must not fail because an audit log is unavailable.
      const result = onEvent(event as DaypassEvent) as unknown
      if (result !== undefined) Promise.resolve(result).catch(() => {})
    } catch {}
  }
}
