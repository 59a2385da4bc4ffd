// The steps of the model: everything that the owner, the network, time, the store and a thief may do next.

import type { Session } from '../../src/core/session.ts'
import { brokenBy, noteRefusal } from './properties.ts'
import type { Protocol } from './protocol.ts'
import { compareAndSet, grant, judge } from './server.ts'
import { describeToken, generationOf, thiefKeysFrom } from './tokens.ts'
import type { Bounds, Message, Step, World } from './world.ts'

/** All steps that are possible in a world. */
export function* stepsOf(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  yield* owner(world, bounds, p)
  yield* network(world, bounds, p)
  yield* time(world, bounds)
  if (bounds.thief !== 'nobody') yield* thief(world, bounds, p)
  if (world.used.failovers < bounds.failovers && world.before !== null) {
    const used = { ...world.used, failovers: world.used.failovers + 1 }
    yield {
      story: 'the store fails over and has lost its last write',
      // The thief may repeat his earlier requests now, so the owner's waiting time starts again.
      world: { ...world, ...world.before, before: null, refused: null, used },
    }
  }
}

function* owner(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  if (world.over) return
  for (const [tab, waiting] of world.tabs.entries()) {
    if (waiting !== null) {
      // Its request may still arrive and take effect.
      const net = world.net.map((message) => (message.tab === tab ? { ...message, tab: -1 } : message))
      yield { story: `tab ${tab} stops waiting`, world: { ...world, net, tabs: world.tabs.with(tab, null) } }
      continue
    }
    if (world.net.length >= bounds.inFlight) continue
    if (bounds.lock && world.tabs.some((other) => other !== null)) continue
    const kinds = bounds.keys === 'either' ? [true, false] : [bounds.keys === 'always']
    for (const isKeyed of kinds) {
      let { pending } = world
      let { refreshes } = world.used
      if (!isKeyed && pending !== 0) continue
      const isNew = !isKeyed || pending === 0
      if (isNew) {
        if (refreshes === bounds.refreshes) continue
        refreshes++
        if (isKeyed) pending = refreshes
      }
      const key = isKeyed ? pending : 0
      const previous = bounds.transport === 'cookie' && isKeyed && p.sendsPrevious ? world.last : 0
      const { token, now } = world
      const message: Message = { tab, token, key, previous, sentAt: now, kind: 'ask', child: 0, outcome: 'none' }
      yield {
        story: `tab ${tab} asks with ${describeToken(token)}${key ? ` and key ${key}` : ''}${previous ? ` (previous ${previous})` : ''}`,
        world: {
          ...world,
          pending: p.persistsKey ? pending : world.pending,
          tabs: world.tabs.with(tab, { token, key }),
          net: [...world.net, message],
          used: { ...world.used, refreshes },
        },
      }
    }
  }
  if (bounds.signOut) {
    const row: Session = { ...world.row, revokedAt: world.now, revokedReason: 'sign-out' }
    yield { story: 'the owner signs out', world: { ...world, row, before: null, over: true, revoked: true } }
  }
}

function* network(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  for (const [index, message] of world.net.entries()) {
    const rest = world.net.toSpliced(index, 1)
    const lost = { ...world, net: rest }
    if (message.kind === 'answer') {
      yield* arrive(lost, message, bounds, p)
      continue
    }
    const done = message.kind === 'ask' ? compareAndSet(lost, message, p, bounds) : judge(lost, message, p, bounds)
    if (done === null && bounds.twoSteps) {
      const judged: Message = { ...message, kind: 'judge' }
      yield {
        story: `the server finds ${describeToken(message.token)} overtaken`,
        world: { ...lost, net: world.net.with(index, judged) },
      }
    } else {
      const { world: served, child, outcome } = done ?? judge(lost, message, p, bounds)
      const refusal = noteRefusal(served, outcome, bounds)
      const granted = grant(refusal.world, child, 'owner', message)
      const answer: Message = { ...message, kind: 'answer', sentAt: world.now, child, outcome }
      const story = `the server gets ${describeToken(message.token)}: ${outcome}${child ? `, ${describeToken(child)}` : ''}`
      const broken = brokenBy(world, granted, { ...message, child, outcome }, 'owner', bounds) ?? refusal.broken
      yield { story, world: { ...granted, net: [...rest, answer] }, broken }
      // The server or the network fails after the commit.
      yield { story: `${story}; the answer is lost`, world: settled(granted, rest), broken }
    }
    if (message.kind === 'ask') {
      yield { story: `the request with ${describeToken(message.token)} is lost`, world: settled(world, rest) }
      if (world.used.duplicates < bounds.duplicates && world.net.length < bounds.inFlight) {
        const used = { ...world.used, duplicates: world.used.duplicates + 1 }
        const twice = [...world.net, { ...message, tab: -1 }]
        yield {
          story: `the request with ${describeToken(message.token)} is on its way twice`,
          world: { ...world, net: twice, used },
        }
      }
    }
  }
}

/** A response arrives: the client's rules, as in src/client/client.ts. */
function* arrive(world: World, message: Message, bounds: Bounds, p: Protocol): Generator<Step> {
  const { tab, token, key, child, outcome } = message
  const isCookie = bounds.transport === 'cookie'
  // A browser stores the cookie even if no tab waits for the response.
  const inJar = isCookie && child !== 0 && !world.over ? { ...world, token: child } : world
  const waiting = tab >= 0 ? world.tabs[tab] : null
  const isWaiting = waiting?.token === token && waiting.key === key
  const idle = isWaiting ? { ...inJar, tabs: inJar.tabs.with(tab, null) } : inJar
  if (inJar !== world && world.used.deaths < bounds.deaths) {
    const used = { ...world.used, deaths: world.used.deaths + 1 }
    const who = isWaiting ? `tab ${tab} dies before it writes` : 'nobody waits for it'
    yield { story: `the jar takes up ${describeToken(child)}, and ${who}`, world: { ...idle, used } }
  }
  if (!isWaiting || world.over) return
  if (child !== 0) {
    // The cookie is unreadable, so compare Idempotency-Keys.
    const isStale = isCookie ? !p.applies(world.pending, key) : !p.applies(world.token, token)
    if (isStale) {
      yield { story: `tab ${tab} passes ${describeToken(child)} over: there is a newer one`, world: idle }
      return
    }
    const kept: World = {
      ...idle,
      token: child,
      last: key === 0 ? idle.last : key,
      pending: idle.pending === key ? 0 : idle.pending,
    }
    const isBack = !isCookie && generationOf(child) < generationOf(world.token)
    const broken = isBack ? 'NO LOST STATE: an older token took the place of a newer one' : undefined
    yield { story: `tab ${tab} stores ${describeToken(child)}`, world: kept, broken }
    return
  }
  const isOver = outcome !== 'superseded'
  // Do not end newer state of another tab.
  const isOurs = isCookie ? world.pending === key : world.token === token
  const story = `tab ${tab} hears ${outcome}`
  yield { story, world: isOver && isOurs ? { ...idle, over: true } : idle }
}

function* time(world: World, { delay, naps, keys, retryInterval }: Bounds): Generator<Step> {
  // A client without keys is safe if it repeats its refresh within the retry interval, so no more time may pass than that.
  const isOwed = keys !== 'always' && generationOf(world.token) < world.row.generation
  const latest = isOwed ? world.rotatedAt + retryInterval - 1 - delay : Number.POSITIVE_INFINITY
  if (world.now + 1 <= latest) {
    const net = world.net.filter((message) => world.now + 1 - message.sentAt <= delay)
    yield { story: 'a tick', world: { ...settled(world, net), now: world.now + 1 } }
  }
  for (const nap of naps) {
    if (world.now + nap > latest) continue
    const tabs = world.tabs.map(() => null)
    yield { story: `everything sleeps for ${nap} ticks`, world: { ...world, now: world.now + nap, net: [], tabs } }
  }
}

/** A tab whose message will never arrive stops waiting: no step tells it from a tab that waits for nothing. */
const settled = (world: World, net: readonly Message[]): World => ({
  ...world,
  net,
  tabs: world.tabs.map((waiting, tab) => (net.some((message) => message.tab === tab) ? waiting : null)),
})

function* thief(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  if (!world.stolen && !world.over) {
    const lootKey = bounds.thief === 'token and pending key' ? world.pending : 0
    yield {
      story: `a thief copies ${describeToken(world.token)}${lootKey ? ` and key ${lootKey}` : ''}`,
      world: { ...world, loot: [world.token], lootKey, stolen: true },
    }
  }
  const own = thiefKeysFrom + world.asked.length
  // He may repeat each request with a key of his own without limit.
  const requests = world.asked.map((token, index) => ({ token, key: thiefKeysFrom + index, isNew: false }))
  if (world.used.asks < bounds.thiefAsks) {
    for (const token of world.loot) {
      for (const key of new Set([own, 0, world.lootKey])) requests.push({ token, key, isNew: true })
    }
  }
  for (const { token, key, isNew } of requests) {
    const request = { token, key, previous: 0 }
    const used = { ...world.used, asks: world.used.asks + (isNew ? 1 : 0) }
    const asked = { ...world, used, asked: key === own ? [...world.asked, token] : world.asked }
    const {
      world: served,
      child,
      outcome,
    } = compareAndSet(asked, request, p, bounds) ?? judge(asked, request, p, bounds)
    const loot = child === 0 || served.loot.includes(child) ? served.loot : [...served.loot, child].slice(-2)
    const granted = grant({ ...served, loot }, child, 'thief', request)
    yield {
      story: `the thief asks with ${describeToken(token)}${key ? ` and ${key === own ? 'a key of his own' : `key ${key}`}` : ''}: ${outcome}${child ? `, ${describeToken(child)}` : ''}`,
      world: granted,
      broken: brokenBy(world, granted, { token, child, outcome }, 'thief', bounds),
    }
  }
}
