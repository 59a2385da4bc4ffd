// Audit events emitted through `onEvent`.

import type { Changes, Device, RevokedReason, Session } from './session.ts'

/** The members of every event. No event contains a token, a key or a secret. */
export interface EventBase {
  /** Milliseconds since the epoch. */
  at: number
  /** The id of the session. */
  sessionId: string
  /** The person or account. */
  subject: string
  /** The client that the session belongs to. */
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
  /** The caller's address. */
  ip?: string | undefined
  /** The caller's `User-Agent`. */
  userAgent?: string | undefined
}

/** The types of events, each with the members that it alone has. */
export interface EventDetails {
  /** A sign-in. */
  issued: object
  /** A token of an older scheme was traded for a session. */
  adopted: object
  /** A refresh. `healed` is true if the store had lost writes. */
  rotated: { healed: boolean }
  /** The same refresh was sent again, after a lost response. */
  replayed: object
  /** The same refresh was sent again without an Idempotency-Key. */
  retried: object
  /** Another refresh came first. Nothing changed. */
  superseded: { presentedGeneration: number }
  /** `auth.update` changed a session. `changed` names the members, and not their values. */
  updated: { changed: (keyof Changes)[] }
  /** A copy of a token was presented. Inform the person. A `revoked` event of the same session follows. */
  reused: { presentedGeneration: number }
  /** A session was ended early, for `reason`. */
  revoked: { reason: RevokedReason }
  /** A token was presented after its session's end. */
  expired: object
}

type Typed<Type extends keyof EventDetails> = Type extends unknown ? { type: Type } & EventDetails[Type] : never

/** An audit event: {@link EventDetails} has the types. It contains no token, no key and no secret. */
export type DaypassEvent = EventBase & Typed<keyof EventDetails>

/** The members of an event that do not come from its session. */
export type EventDetail = Typed<keyof EventDetails>

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
