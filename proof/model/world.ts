// What can happen between an owner, a server, a network and a thief, one step at a time? The protocol's own code decides
// (src/core/rotation.ts and refresh-token.ts); this file only lets things happen, in every order.

import { createSecretKey } from 'node:crypto'
import {
  childSalt,
  hashIdempotencyKey,
  isTagged,
  mintRefreshToken,
  parseRefreshToken,
  type RefreshToken,
} from '../../src/core/refresh-token.ts'
import { advance, type Decision, decide, type Presented } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'
import type { Advance } from '../../src/core/store.ts'

type Outcome = Decision['kind']

/** The parts of the protocol that a mutant may replace; the server's from the sources, the client's as the rules say. */
export interface Protocol {
  decide: typeof decide
  advance: typeof advance
  childSalt: typeof childSalt
  /** The salt of the child that a replay gets. */
  replaySalt(row: Session): Uint8Array
  /** The row after a replay: as it was. */
  replay(row: Session, now: number, interval: number): Session
  /** The row after a retry without a key: as it was. */
  retry(row: Session, now: number, interval: number): Session
  /** Whether an answer is applied: only if the token (in a jar: the key) it was asked with is still the one that is held. */
  applies(held: number, sent: number): boolean
  /** Whether a key is written down before it is sent. */
  persistsKey: boolean
  /** Whether the cookie transport sends the key of its last completed refresh along. */
  sendsPrevious: boolean
}

export const protocol: Protocol = {
  decide,
  advance,
  childSalt,
  replaySalt: (row) => childSalt(row, row.parentKey!, row.parentSalt!),
  replay: (row) => row,
  retry: (row) => row,
  applies: (held, sent) => held === sent,
  persistsKey: true,
  sendsPrevious: true,
}

/** What may happen in one exploration, and how often. Instants are ticks. */
export interface Bounds {
  transport: 'body' | 'cookie'
  tabs: number
  /** Whether refreshes carry a key: always, never, or now this and now that. */
  keys: 'always' | 'never' | 'either'
  /** How many different refreshes the owner begins. */
  refreshes: number
  /** Whether one tab asks at a time, as with Web Locks. (One that stopped waiting lets the next one go.) */
  lock: boolean
  /** How often a tab dies after the jar took up a token and before the tab has written down which. */
  deaths: number
  /** How many messages are under way at a time. */
  inFlight: number
  /** How often a request arrives twice. */
  duplicates: number
  /** How often the store loses its last write, whichever that was. */
  failovers: number
  /** What a thief copies, once, at any moment. */
  thief: 'nobody' | 'token' | 'token and pending key'
  /** How often he asks what he has not asked before. He asks again with a key of his own as often as he likes. */
  thiefAsks: number
  /** Whether the owner may sign out. */
  signOut: boolean
  /** Whether reading the row after a compare-and-set that did not match is a step of its own. */
  twoSteps: boolean
  /** For how long a lost race is forgiven. */
  interval: number
  /** For how long a refresh without a key may be asked again. */
  retryInterval: number
  /** A message arrives within so many ticks, or never. */
  delay: number
  /** How long the owner may be away at a time; everything under way is lost then. */
  naps: readonly number[]
  idleTimeout: number
  absoluteTimeout: number
}

/** A request on its way to the server, or an answer on its way back. Tokens and keys are numbers; 0 is none. */
interface Message {
  /** The tab that asked; −1 where it has stopped waiting. */
  tab: number
  token: number
  key: number
  previous: number
  sentAt: number
  /** `ask`: under way; `judge`: the compare-and-set did not match, the row is still to be read; else the answer. */
  kind: 'ask' | 'judge' | 'answer'
  child: number
  outcome: Outcome | 'none'
}

/** All that is the case at one moment. Never changed: each step makes another one. */
export interface World {
  now: number
  row: Session
  /** What was before the last write, while a failover could bring it back. */
  before: Pick<World, 'row' | 'child' | 'rotatedAt'> | null
  /** What the owner's storage (and jar) holds. */
  token: number
  pending: number
  last: number
  /** Signed out: by the server's word, or by the owner. */
  over: boolean
  /** What each tab waits for: the key and token it sent. */
  tabs: readonly ({ token: number; key: number } | null)[]
  net: readonly Message[]
  /** What the thief holds: tokens, and the stolen key. */
  loot: readonly number[]
  lootKey: number
  stolen: boolean
  /** What he has asked with keys of his own: the token of each key. */
  asked: readonly number[]
  /** What was used up of the bounds. */
  used: {
    refreshes: number
    deaths: number
    duplicates: number
    failovers: number
    asks: number
    salts: number
  }
  /** For the properties: what was handed to whom, whether a revoke has returned, the keyed child, the last rotation. */
  toOwner: readonly { generation: number; key: number; previous: number }[]
  toThief: readonly number[]
  revoked: boolean
  child: number
  rotatedAt: number
  /** Since when the owner, who goes on asking, hears nothing but 409, and when he last asked. */
  refused: { since: number; last: number } | null
}

/** One thing that happens. */
export interface Step {
  story: string
  world: World
  /** What must not be: a property that this very step broke. */
  broken?: string
}

const proofKey = { id: 7, key: createSecretKey(Buffer.alloc(32, 1)) }
const blank: Session = {
  id: Buffer.alloc(16, 3).toString('base64url'),
  subject: 'owner',
  clientId: '',
  scope: '',
  claims: {},
  generation: 0,
  secret: new Uint8Array(16).fill(5),
  parentSalt: null,
  parentKey: null,
  burstAt: -1e6,
  burstGeneration: 0,
  prevBurstGeneration: 0,
  rotatedAt: 0,
  createdAt: 0,
  authTime: 0,
  amr: [],
  idleExpiresAt: 0,
  expiresAt: 0,
  jkt: null,
  device: {},
  revokedAt: null,
  revokedReason: null,
}

// Real tokens and real hashes, each made once and known by its number from then on.
const tokenTexts: string[] = ['']
const tokens: RefreshToken[] = [undefined!]
const tokenNumbers = new Map<string, number>()
function mint(row: Session, generation: number, salt: Uint8Array): number {
  const name = `${generation}.${Buffer.from(salt).toString('hex')}`
  const known = tokenNumbers.get(name)
  if (known !== undefined) return known
  const text = mintRefreshToken(row, generation, salt, proofKey)
  const parsed = parseRefreshToken(text, [proofKey])
  if (parsed === null || !isTagged(parsed, row)) throw new Error('a token that its own server does not know')
  tokenTexts.push(text)
  tokens.push(parsed)
  tokenNumbers.set(name, tokens.length - 1)
  return tokens.length - 1
}
const keyHashes: (Uint8Array | null)[] = [null]
for (let key = 1; key < 200; key++) keyHashes.push(hashIdempotencyKey(`key-${key}-0123456789abcdef`))
const keyHash = (key: number) => keyHashes[key]!
/** Keys of the thief's own have numbers that the owner's never reach. */
const thiefKeysFrom = 100
const randomSalt = (n: number) => Buffer.from([1, 2, 3, 4, 5, 6, n >> 8, n & 255])
export const generationOf = (token: number) => tokens[token]!.generation

export function begin(bounds: Bounds): World {
  const row = { ...blank, idleExpiresAt: bounds.idleTimeout, expiresAt: bounds.absoluteTimeout }
  return {
    now: 0,
    row,
    before: null,
    token: mint(row, 0, randomSalt(0)),
    pending: 0,
    last: 0,
    over: false,
    tabs: Array.from({ length: bounds.tabs }, () => null),
    net: [],
    loot: [],
    lootKey: 0,
    stolen: false,
    asked: [],
    used: { refreshes: 0, deaths: 0, duplicates: 0, failovers: 0, asks: 0, salts: 1 },
    toOwner: [],
    toThief: [],
    revoked: false,
    child: 0,
    rotatedAt: 0,
    refused: null,
  }
}

/** What the server is asked. */
interface Question {
  token: number
  key: number
  previous: number
}

const presentedOf = ({ token, key, previous }: Question): Presented => {
  const { generation, salt } = tokens[token]!
  return { generation, salt, key: keyHash(key), previousKey: keyHash(previous) }
}

const intervalsOf = ({ interval, retryInterval }: Bounds) => ({ reuseInterval: interval, retryInterval })

/** What a failover would bring back, where one is still to come. */
const remembered = ({ row, child, rotatedAt, used }: World, { failovers }: Bounds) =>
  used.failovers < failovers ? { row, child, rotatedAt } : null

/** The compare-and-set: the first half of src/core/refresh.ts. Null where it does not match. */
function compareAndSet(world: World, question: Question, p: Protocol, bounds: Bounds) {
  const { generation, salt, key } = presentedOf(question)
  const step: Advance = {
    id: world.row.id,
    generation,
    salt,
    key,
    now: world.now,
    idleExpiresAt: world.now + bounds.idleTimeout,
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

/** The judgement of what did not match: the second half. */
function judge(world: World, question: Question, p: Protocol, bounds: Bounds) {
  const presented = presentedOf(question)
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
      // A revoke that was answered is never lost: docs/redis.md says what that takes.
      const revoked: Session = { ...row, revokedAt: now, revokedReason: 'reuse' }
      return { world: { ...world, row: revoked, before: null, revoked: true }, child: 0, outcome }
    }
    default:
      return { world, child: 0, outcome }
  }
}

/** Judges what an answer was against what must hold. */
function brokenBy(
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
  // With the key too, the refresh that it is of is the thief's as well, and the next, whose `previous` it is: no other.
  const isLoot = (key: number) => key !== 0 && key === next.lootKey
  const shared = next.toOwner.filter(
    ({ generation, key, previous }) => next.toThief.includes(generation) && !isLoot(key) && !isLoot(previous),
  )
  const allowed = (bounds.keys === 'always' ? 0 : 1) + next.used.failovers
  if (shared.length > allowed) return `NO LOCK-STEP: ${who} is let in beside the other`
  return undefined
}

/** Whether an owner who goes on asking is kept waiting: four intervals after his first 409, he is in or it is a theft. */
function noteRefusal(world: World, outcome: Outcome, { thief, interval }: Bounds) {
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

function grant(world: World, child: number, who: 'owner' | 'thief', { key, previous }: Question): World {
  if (child === 0) return world
  const generation = generationOf(child)
  if (who === 'thief') {
    return world.toThief.includes(generation) ? world : { ...world, toThief: [...world.toThief, generation] }
  }
  const isKnown = world.toOwner.some((each) => each.generation === generation && each.key === key)
  return isKnown ? world : { ...world, toOwner: [...world.toOwner, { generation, key, previous }] }
}

/** Everything that may happen next. */
export function* stepsOf(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  yield* owner(world, bounds, p)
  yield* network(world, bounds, p)
  yield* time(world, bounds)
  if (bounds.thief !== 'nobody') yield* thief(world, bounds, p)
  if (world.used.failovers < bounds.failovers && world.before !== null) {
    const used = { ...world.used, failovers: world.used.failovers + 1 }
    yield {
      story: 'the store fails over and has lost its last write',
      // What the thief asked before, he may then ask anew: the owner's waiting is counted from here.
      world: { ...world, ...world.before, before: null, refused: null, used },
    }
  }
}

function* owner(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  if (world.over) return
  for (const [tab, waiting] of world.tabs.entries()) {
    if (waiting !== null) {
      // What it asked may still arrive, and count.
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
        story: `tab ${tab} asks with ${told(token)}${key ? ` and key ${key}` : ''}${previous ? ` (previous ${previous})` : ''}`,
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
        story: `the server finds ${told(message.token)} overtaken`,
        world: { ...lost, net: world.net.with(index, judged) },
      }
    } else {
      const { world: served, child, outcome } = done ?? judge(lost, message, p, bounds)
      const refusal = noteRefusal(served, outcome, bounds)
      const granted = grant(refusal.world, child, 'owner', message)
      const answer: Message = { ...message, kind: 'answer', sentAt: world.now, child, outcome }
      const story = `the server gets ${told(message.token)}: ${outcome}${child ? `, ${told(child)}` : ''}`
      const broken = brokenBy(world, granted, { ...message, child, outcome }, 'owner', bounds) ?? refusal.broken
      yield { story, world: { ...granted, net: [...rest, answer] }, broken }
      // The server, or the way back, fails after the commit.
      yield { story: `${story}; the answer is lost`, world: settled(granted, rest), broken }
    }
    if (message.kind === 'ask') {
      yield { story: `the request with ${told(message.token)} is lost`, world: settled(world, rest) }
      if (world.used.duplicates < bounds.duplicates && world.net.length < bounds.inFlight) {
        const used = { ...world.used, duplicates: world.used.duplicates + 1 }
        const twice = [...world.net, { ...message, tab: -1 }]
        yield {
          story: `the request with ${told(message.token)} is on its way twice`,
          world: { ...world, net: twice, used },
        }
      }
    }
  }
}

/** The client's part, as src/client/refresh.ts keeps it. */
function* arrive(world: World, message: Message, bounds: Bounds, p: Protocol): Generator<Step> {
  const { tab, token, key, child, outcome } = message
  const isCookie = bounds.transport === 'cookie'
  // A browser takes a cookie up whether or not anybody waits for the answer.
  const inJar = isCookie && child !== 0 && !world.over ? { ...world, token: child } : world
  const waiting = tab >= 0 ? world.tabs[tab] : null
  const isWaiting = waiting?.token === token && waiting.key === key
  const idle = isWaiting ? { ...inJar, tabs: inJar.tabs.with(tab, null) } : inJar
  if (inJar !== world && world.used.deaths < bounds.deaths) {
    const used = { ...world.used, deaths: world.used.deaths + 1 }
    const who = isWaiting ? `tab ${tab} dies before it writes` : 'nobody waits for it'
    yield { story: `the jar takes up ${told(child)}, and ${who}`, world: { ...idle, used } }
  }
  if (!isWaiting || world.over) return
  if (child !== 0) {
    // Which token the jar held is not to be seen; whose key was sent is.
    const isStale = isCookie ? !p.applies(world.pending, key) : !p.applies(world.token, token)
    if (isStale) {
      yield { story: `tab ${tab} passes ${told(child)} over: there is a newer one`, world: idle }
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
    yield { story: `tab ${tab} stores ${told(child)}`, world: kept, broken }
    return
  }
  const isOver = outcome !== 'superseded'
  // Another's newer state is not this answer's to end.
  const isOurs = isCookie ? world.pending === key : world.token === token
  const story = `tab ${tab} hears ${outcome}`
  yield { story, world: isOver && isOurs ? { ...idle, over: true } : idle }
}

function* time(world: World, { delay, naps, keys, retryInterval }: Bounds): Generator<Step> {
  // A client without keys is safe within the retry interval: it asks again before that is over.
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

/** Whoever's message will never arrive stops waiting: it is the same as a tab that waits for nothing. */
const settled = (world: World, net: readonly Message[]): World => ({
  ...world,
  net,
  tabs: world.tabs.map((waiting, tab) => (net.some((message) => message.tab === tab) ? waiting : null)),
})

function* thief(world: World, bounds: Bounds, p: Protocol): Generator<Step> {
  if (!world.stolen && !world.over) {
    const lootKey = bounds.thief === 'token and pending key' ? world.pending : 0
    yield {
      story: `a thief copies ${told(world.token)}${lootKey ? ` and key ${lootKey}` : ''}`,
      world: { ...world, loot: [world.token], lootKey, stolen: true },
    }
  }
  const own = thiefKeysFrom + world.asked.length
  // What he has asked before, with a key of his own, he asks again as often as he likes.
  const questions = world.asked.map((token, index) => ({ token, key: thiefKeysFrom + index, isNew: false }))
  if (world.used.asks < bounds.thiefAsks) {
    for (const token of world.loot) {
      for (const key of new Set([own, 0, world.lootKey])) questions.push({ token, key, isNew: true })
    }
  }
  for (const { token, key, isNew } of questions) {
    const question = { token, key, previous: 0 }
    const used = { ...world.used, asks: world.used.asks + (isNew ? 1 : 0) }
    const asked = { ...world, used, asked: key === own ? [...world.asked, token] : world.asked }
    const {
      world: served,
      child,
      outcome,
    } = compareAndSet(asked, question, p, bounds) ?? judge(asked, question, p, bounds)
    const loot = child === 0 || served.loot.includes(child) ? served.loot : [...served.loot, child].slice(-2)
    const granted = grant({ ...served, loot }, child, 'thief', question)
    yield {
      story: `the thief asks with ${told(token)}${key ? ` and ${key === own ? 'a key of his own' : `key ${key}`}` : ''}: ${outcome}${child ? `, ${told(child)}` : ''}`,
      world: granted,
      broken: brokenBy(world, granted, { token, child, outcome }, 'thief', bounds),
    }
  }
}

/** What must hold in a world as it stands; undefined where it does. */
export function brokenIn(world: World, bounds: Bounds, p: Protocol): string | undefined {
  const { row, now } = world
  if (row.expiresAt !== bounds.absoluteTimeout) return 'NO RESURRECTION: the absolute expiry has moved'
  const isLive = row.revokedAt === null && now < row.idleExpiresAt && now < row.expiresAt
  if (!isLive) return undefined
  // A copy is let off with a 409 for a while, and not for ever.
  for (const token of world.loot) {
    const question = presentedOf({ token, key: thiefKeysFrom + 99, previous: 0 })
    const later = now + 3 * bounds.interval
    if (later < row.idleExpiresAt && p.decide(row, question, later, intervalsOf(bounds)).kind === 'superseded') {
      return 'NO LOCK-STEP: a copy is let off for more than three intervals'
    }
  }
  // With nobody robbing and nothing under way, the owner gets in, now and after a nap.
  if (world.stolen || world.over || world.net.length > 0) return undefined
  const key = world.pending || (bounds.keys === 'never' ? 0 : 99)
  const previous = bounds.transport === 'cookie' && p.sendsPrevious && key !== 0 ? world.last : 0
  const question = { token: world.token, key, previous }
  const isEver =
    bounds.keys === 'always' || (bounds.keys === 'never' && bounds.retryInterval === Number.POSITIVE_INFINITY)
  for (const nap of isEver ? [0, ...bounds.naps] : [0]) {
    const then = { ...world, now: now + nap }
    if (then.now >= row.idleExpiresAt) continue
    const { child, outcome } = compareAndSet(then, question, p, bounds) ?? judge(then, question, p, bounds)
    if (child === 0)
      return `NO BAD LUCK: the owner, asking in peace${nap ? ` after ${nap} ticks` : ''}, hears ${outcome}`
  }
  return undefined
}

/** A world as a text that is the same for worlds which no step will ever tell apart. */
export function nameOf(world: World, bounds: Bounds): string {
  const { interval, retryInterval, absoluteTimeout } = bounds
  const { row, now, used } = world
  // An age counts up to where the protocol stops counting it.
  const age = (at: number, most = interval) => Math.min(now - at, most)
  const longest =
    Number.isFinite(retryInterval) && bounds.keys !== 'always' ? Math.max(interval, retryInterval) : interval
  const rowName = (r: Session) =>
    `${r.generation},${hex(r.parentSalt)},${hex(r.parentKey)},${r.burstGeneration},${r.prevBurstGeneration},${age(r.burstAt)},${age(r.rotatedAt, longest)},${r.revokedReason ?? ''},${Math.min(now - r.idleExpiresAt, 1)}`
  const net = world.net
    .map((m) => `${m.kind[0]}${m.tab},${m.token},${m.key},${m.previous},${age(m.sentAt)},${m.child},${m.outcome}`)
    .sort()
  // Which tab is which does not matter.
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
    // Asked longer ago than an interval, he does not go on asking.
    world.refused === null || now - world.refused.last > interval
      ? ''
      : `${age(world.refused.since, 4 * interval)}.${age(world.refused.last)}`,
  ]
  return parts.join('|')
}

const told = (token: number) => `token ${generationOf(token)}${letterOf(token)}`
/** Siblings have letters: the second token of a generation is b. */
function letterOf(token: number): string {
  let before = 0
  for (let other = 1; other < token; other++) if (tokens[other]!.generation === tokens[token]!.generation) before++
  return before === 0 ? '' : String.fromCharCode(97 + Math.min(before, 25))
}
const hex = (bytes: Uint8Array | null) => (bytes === null ? '' : Buffer.from(bytes).toString('hex', 0, 4))
