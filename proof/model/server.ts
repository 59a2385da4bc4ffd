// The model's server: one refresh, with the real decide() and advance().

import type { Presented } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import type { Advance } from '../../src/core/store.ts'
import type { Protocol } from './protocol.ts'
import { generationOf, getToken, keyHash, mint, randomSalt } from './tokens.ts'
import type { Bounds, Outcome, World } from './world.ts'

/** The contents of a refresh request. */
export interface RefreshRequest {
  token: number
  key: number
  previous: number
}

export const presentedOf = ({ token, key, previous }: RefreshRequest): Presented => {
  const { generation, salt } = getToken(token)
  return { generation, salt, key: keyHash(key), previousKey: keyHash(previous) }
}

export const intervalsOf = ({ interval, retryInterval }: Bounds) => ({ reuseInterval: interval, retryInterval })

/** What a failover would restore, if one may still happen. */
const remembered = ({ row, child, rotatedAt, used }: World, { failovers }: Bounds) =>
  used.failovers < failovers ? { row, child, rotatedAt } : null

/** The compare-and-set, which is the first half of src/core/refresh.ts. Null if it does not match. */
export function compareAndSet(world: World, request: RefreshRequest, p: Protocol, bounds: Bounds) {
  const { generation, salt, key } = presentedOf(request)
  const step: Advance = {
    id: world.row.id,
    generation,
    salt,
    key,
    now: world.now,
    idleTimeout: bounds.idleTimeout,
    reuseInterval: bounds.interval,
  }
  const row = p.advance(world.row, step)
  if (row === null) return null
  let { salts } = world.used
  const child = mint(row, row.generation, key === null ? randomSalt(salts++) : p.childSalt(row, key, salt))
  const next: World = {
    ...world,
    row,
    before: remembered(world, bounds),
    child: key === null ? 0 : child,
    rotatedAt: world.now,
    used: { ...world.used, salts },
  }
  return { world: next, child, outcome: 'rotated' as Outcome }
}

/** The decision about a token that did not match, which is the second half. */
export function judge(world: World, request: RefreshRequest, p: Protocol, bounds: Bounds) {
  const presented = presentedOf(request)
  const { row, now } = world
  const outcome = p.decide(row, presented, now, intervalsOf(bounds)).kind
  switch (outcome) {
    case 'replayed': {
      const child = mint(row, row.generation, p.replaySalt(row))
      const after = p.replay(row, now, bounds.interval)
      const before = after === row ? world.before : remembered(world, bounds)
      return { world: { ...world, row: after, before }, child, outcome }
    }
    case 'retried': {
      const child = mint(row, row.generation, randomSalt(world.used.salts))
      const used = { ...world.used, salts: world.used.salts + 1 }
      return { world: { ...world, row: p.retry(row, now, bounds.interval), used }, child, outcome }
    }
    case 'reused': {
      // A revoke that was answered is never lost; docs/redis.md says what that needs.
      const revoked: Session = { ...row, revokedAt: now, revokedReason: 'reuse' }
      return { world: { ...world, row: revoked, before: null, revoked: true }, child: 0, outcome }
    }
    default:
      return { world, child: 0, outcome }
  }
}

/** Records that the owner or the thief got a token. */
export function grant(world: World, child: number, who: 'owner' | 'thief', { key, previous }: RefreshRequest): World {
  if (child === 0) return world
  const generation = generationOf(child)
  if (who === 'thief') {
    return world.toThief.includes(generation) ? world : { ...world, toThief: [...world.toThief, generation] }
  }
  const isKnown = world.toOwner.some((each) => each.generation === generation && each.key === key)
  return isKnown ? world : { ...world, toOwner: [...world.toOwner, { generation, key, previous }] }
}
