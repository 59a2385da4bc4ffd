// Names worlds, so that an exploration visits each only once.

import type { Session } from '../../src/core/session.ts'
import type { Bounds, World } from './world.ts'

/** A text that is equal for two worlds if no later step can tell them apart. */
export function nameOf(world: World, bounds: Bounds): string {
  const { interval, retryInterval, absoluteTimeout } = bounds
  const { row, now, used } = world
  // An age above the longest one that the protocol looks at counts as that one.
  const age = (at: number, most = interval) => Math.min(now - at, most)
  const longest =
    Number.isFinite(retryInterval) && bounds.keys !== 'always' ? Math.max(interval, retryInterval) : interval
  const rowName = (r: Session) =>
    `${r.generation},${hex(r.parentSalt)},${hex(r.parentKey)},${r.burstGeneration},${r.prevBurstGeneration},${age(r.burstAt)},${age(r.rotatedAt, longest)},${r.revokedReason ?? ''},${Math.min(now - r.idleExpiresAt, 1)}`
  // The order of the messages does not matter.
  const net = world.net
    .map((m) => `${m.kind[0]}${m.tab},${m.token},${m.key},${m.previous},${age(m.sentAt)},${m.child},${m.outcome}`)
    .sort()
  const parts = [
    Math.min(now - absoluteTimeout, 1),
    rowName(row),
    world.before === null
      ? ''
      : `${rowName(world.before.row)},${world.before.child},${age(world.before.rotatedAt, longest)}`,
    world.token,
    world.pending,
    world.last,
    +world.over,
    world.tabs.map((tab) => (tab ? `${tab.token}.${tab.key}` : '')).join('/'),
    net.join(';'),
    world.loot.join('.'),
    world.lootKey,
    +world.stolen,
    world.asked.join(','),
    `${used.refreshes}${used.deaths}${used.duplicates}${used.failovers}${used.asks}${used.salts}`,
    bounds.thief === 'nobody'
      ? ''
      : world.toOwner.map((each) => `${each.generation}.${each.key}.${each.previous}`).join('/'),
    world.toThief.join('.'),
    +world.revoked,
    world.child,
    age(world.rotatedAt, longest),
    // An owner who last asked more than an interval ago does not keep asking.
    world.refused === null || now - world.refused.last > interval
      ? ''
      : `${age(world.refused.since, 4 * interval)}.${age(world.refused.last)}`,
  ]
  return parts.join('|')
}

const hex = (bytes: Uint8Array | null) => (bytes === null ? '' : Buffer.from(bytes).toString('hex', 0, 4))
