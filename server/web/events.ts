// The events of the person's own sessions, as the server sends them.

import type { DaypassEvent } from 'daypass'
import { streamEvents } from 'daypass/streams'
import { pause } from './dom.ts'
import { client } from './pass.ts'

/** An event of one session: the members that the page uses. */
export interface SessionEvent {
  /** `ready` is the stream's own. */
  type: DaypassEvent['type'] | 'ready'
  /** Epoch milliseconds. */
  at: number
  sessionId: string
  generation: number
  presentedGeneration?: number
  reason?: string
  device: { userAgent?: string; ip?: string; label?: string }
  request: { ip?: string; userAgent?: string }
}

type Listener = (event: SessionEvent) => void
const listeners = new Set<Listener>()

/** Calls `listener` with each event of {@link followEvents}, until `signal` aborts. */
export function onEvent(signal: AbortSignal, listener: Listener): void {
  listeners.add(listener)
  signal.addEventListener('abort', () => listeners.delete(listener))
}

/**
 * Reads the events until `signal` aborts. `ready` comes first, and again after each break. A hidden page reads none: a
 * browser has few connections for one server, and each of many tabs would hold one.
 */
export async function followEvents(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await untilVisible(signal)
    const hidden = new AbortController()
    const hide = () => document.hidden && hidden.abort()
    document.addEventListener('visibilitychange', hide)
    try {
      await read(AbortSignal.any([signal, hidden.signal]))
    } catch {
      // Hidden, signed out, or refused. The client knows whether the session is over.
    } finally {
      document.removeEventListener('visibilitychange', hide)
    }
    if (!hidden.signal.aborted) await pause(1000)
  }
}

async function read(signal: AbortSignal): Promise<void> {
  for await (const { type, data } of streamEvents(client, '/auth/events', { signal, onRenewal: 'keep' })) {
    const event = { ...JSON.parse(data), type } as SessionEvent
    for (const listener of listeners) listener(event)
  }
}

function untilVisible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return
      document.removeEventListener('visibilitychange', look)
      resolve()
    }
    document.addEventListener('visibilitychange', look)
    signal.addEventListener('abort', look)
    look()
  })
}
