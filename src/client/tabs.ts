// What do the tabs of one browser tell each other?

import type { Access } from './answer.ts'
import { maybe } from './wait.ts'

/**
 * A session that begins or goes on (`access`), one that ended (`reason`), or, with neither, a sign-in that is about to be
 * sent. Nothing of it is stored; the refresh token never goes.
 */
export interface TabMessage {
  access?: Access
  /** When the session began. A tab that has signed out since then does not take it up. */
  at?: number
  /** When a session ended: only those end that began no later. */
  out?: number
  reason?: string | undefined
}

export type Tell = (message: TabMessage) => void

/**
 * Joins the tabs (and the other clients of this page) under `name`, where there is one: what any of them tells, each of
 * them hears, the teller first.
 */
export function joinTabs(name: string | false, hear: Tell): Tell {
  // Firefox forbids it where cookies are blocked.
  const channel = maybe(() => name && new BroadcastChannel(name))
  if (!channel) return hear
  channel.onmessage = ({ data }) => hear(data)
  // In Node an open channel would keep the process alive.
  ;(channel as { unref?(): void }).unref?.()
  return (message) => {
    hear(message)
    maybe(() => channel.postMessage(message))
  }
}
