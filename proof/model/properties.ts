// The properties that must hold: of each response, and of each world.

import type { Protocol } from './protocol.ts'
import { compareAndSet, intervalsOf, judge, presentedOf } from './server.ts'
import { describeToken, generationOf, getToken, thiefKeysFrom } from './tokens.ts'
import type { Bounds, Outcome, World } from './world.ts'

/** The property that does not hold in a world; undefined if all hold. */
export function brokenIn(world: World, bounds: Bounds, p: Protocol): string | undefined {
  const { row, now } = world
  if (row.expiresAt !== bounds.absoluteTimeout) return 'NO RESURRECTION: the absolute expiry has moved'
  // A page may be rendered on a server at any moment, with any token that is around.
  const around = world.net.flatMap(({ token, child }) => (child === 0 ? [token] : [token, child]))
  for (const token of new Set([world.token, ...around, ...world.loot])) {
    const broken = brokenByReading(world, token, bounds, p)
    if (broken !== undefined) return `${broken}, with ${describeToken(token)}`
  }
  const isLive = row.revokedAt === null && now < row.idleExpiresAt && now < row.expiresAt
  if (!isLive) return undefined
  // A copy gets a 409 for some time only.
  for (const token of world.loot) {
    const request = presentedOf({ token, key: thiefKeysFrom + 99, previous: 0 })
    const later = now + 3 * bounds.interval
    if (later < row.idleExpiresAt && p.decide(row, request, later, intervalsOf(bounds)).kind === 'superseded') {
      return 'NO LOCK-STEP: a copy is let off for more than three intervals'
    }
  }
  // If there is no thief and nothing is under way, the owner gets in, now and after a nap.
  if (world.stolen || world.over || world.net.length > 0) return undefined
  const key = world.pending || (bounds.keys === 'never' ? 0 : 99)
  const previous = bounds.transport === 'cookie' && p.sendsPrevious && key !== 0 ? world.last : 0
  const request = { token: world.token, key, previous }
  const isEver =
    bounds.keys === 'always' || (bounds.keys === 'never' && bounds.retryInterval === Number.POSITIVE_INFINITY)
  for (const nap of isEver ? [0, ...bounds.naps] : [0]) {
    const then = { ...world, now: now + nap }
    if (then.now >= row.idleExpiresAt) continue
    const { child, outcome } = compareAndSet(then, request, p, bounds) ?? judge(then, request, p, bounds)
    if (child === 0)
      return `NO BAD LUCK: the owner, asking in peace${nap ? ` after ${nap} ticks` : ''}, hears ${outcome}`
  }
  return undefined
}

/**
 * The property that breaks where a token reads its session (src/core/find-session.ts). Reading changes nothing. It finds a
 * live session alone: always by the newest token, and else only by a token that may have lost a race.
 */
function brokenByReading(world: World, token: number, bounds: Bounds, p: Protocol): string | undefined {
  const { row, now } = world
  const presented = getToken(token)
  if (p.read(row, presented, now) !== row) return 'READING WRITES NOTHING: a page that is rendered changes the row'
  const isFound = p.isReadable(row, presented, now, intervalsOf(bounds))
  const isLive = !world.revoked && row.revokedAt === null && now < row.idleExpiresAt && now < row.expiresAt
  const isNewest = presented.generation >= row.generation
  if (!isFound) return isLive && isNewest ? 'READING FINDS: the newest token finds nobody' : undefined
  if (!isLive) return 'READING REVIVES NOTHING: a session that is over is found'
  const since = now - row.rotatedAt
  // Without a key, the parent may still be sent again.
  const isParent = row.parentSalt !== null && Buffer.compare(presented.salt, row.parentSalt) === 0
  const mayRetry = isParent && row.parentKey === null && since < bounds.retryInterval
  if (isNewest || mayRetry || since < bounds.interval) return undefined
  return 'READING HELPS NO COPY: a token that was overtaken long ago finds its session'
}

/** The property that a response of the server breaks; undefined if it breaks none. */
export function brokenBy(
  was: World,
  next: World,
  { token, child, outcome }: { token: number; child: number; outcome: Outcome },
  who: 'owner' | 'thief',
  bounds: Bounds,
) {
  if (outcome === 'reused' && !was.stolen) return 'NO BAD LUCK: an owner is taken for a thief'
  if (child === 0) return undefined
  if (was.revoked) return 'NO RESURRECTION: a token is given after a revoke has returned'
  if (was.now >= bounds.absoluteTimeout) return 'NO RESURRECTION: a token is given after the absolute expiry'
  if (outcome === 'rotated' && generationOf(token) < was.row.generation) {
    return 'ONE LINEAGE: a token that is not the newest rotates the session'
  }
  if (outcome === 'replayed' && was.child !== child) return 'ONE LINEAGE: one refresh has two children'
  if (outcome === 'retried' && was.now - was.rotatedAt >= bounds.retryInterval) {
    return 'NO LOCK-STEP: a refresh without a key is answered again after the interval'
  }
  // A thief with the pending key also gets the refresh of that key, and the next refresh, which names it as `previous`.
  const isLoot = (key: number) => key !== 0 && key === next.lootKey
  const shared = next.toOwner.filter(
    ({ generation, key, previous }) => next.toThief.includes(generation) && !isLoot(key) && !isLoot(previous),
  )
  const allowed = (bounds.keys === 'always' ? 0 : 1) + next.used.failovers
  if (shared.length > allowed) return `NO LOCK-STEP: ${who} is let in beside the other`
  return undefined
}

/** Records a 409. Four intervals after the first one, an owner who keeps asking must be in, or the theft detected. */
export function noteRefusal(world: World, outcome: Outcome, { thief, interval }: Bounds) {
  if (thief === 'nobody' || !world.stolen) return { world }
  if (outcome !== 'superseded') return { world: world.refused === null ? world : { ...world, refused: null } }
  const { now, refused } = world
  const since = refused === null || now - refused.last > interval ? now : refused.since
  const broken =
    now > since && now - since >= 4 * interval
      ? 'NO LOCK-STEP: an owner who goes on asking is kept out for ever'
      : undefined
  return { world: { ...world, refused: { since, last: now } }, broken }
}
