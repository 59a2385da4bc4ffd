// What do the tabs of one browser tell each other?

import type { Access } from './answer.ts'

/** A session that goes on or begins, or why it ended. Nothing of it is stored; the refresh token never goes. */
export interface TabMessage {
  access?: Access
  /** Brings a signed-out tab back. A mere refresh does not: its answer may have been under way when that tab signed out. */
  begins?: boolean
  reason?: string
}

export type Tell = (message: TabMessage) => void

/**
 * Joins the tabs (and the other clients of this page) under `name`, where there is one: what any of them tells, each of
 * them hears, the teller first.
 */
export function joinTabs(name: string | false, hear: Tell): Tell {
  const channel = name && globalThis.BroadcastChannel && new BroadcastChannel(name)
  if (!channel) return hear
  channel.onmessage = ({ data }) => hear(data)
  // In Node an open channel would keep the process alive.
  ;(channel as { unref?(): void }).unref?.()
  return (message) => {
    hear(message)
    channel.postMessage(message)
  }
}
