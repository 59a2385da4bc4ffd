// The messages between the tabs of one browser. client.ts sends and receives them.

import type { Access } from './token-response.ts'
import { maybe } from './wait.ts'

/**
 * A session that began or was renewed (`access`), a session that ended (`reason`), or, with neither, a sign-in that is about
 * to be sent. Messages are not stored, and the refresh token is never part of one.
 */
export interface TabMessage {
  access?: Access
  /** When the session began. A tab that has signed out since then ignores it. */
  at?: number
  /** When the refresh for the access token was sent. A sign-in has none. */
  asked?: number
  /** When the session ended. Sessions that began later do not end. */
  out?: number
  reason?: string | undefined
}

export type Broadcast = (message: TabMessage) => void

/**
 * Returns a function that sends a message to all tabs (and other clients of this page) with the same `name`. The sender
 * receives it first. Without a name only the sender receives it.
 */
export function joinTabs(name: string | false, receive: Broadcast): Broadcast {
  // Firefox throws if cookies are blocked.
  const channel = maybe(() => name && new BroadcastChannel(name))
  if (!channel) return receive
  channel.onmessage = ({ data }) => receive(data)
  // In Node an open channel would keep the process alive.
  ;(channel as { unref?(): void }).unref?.()
  return (message) => {
    receive(message)
    maybe(() => channel.postMessage(message))
  }
}
