// The database that all servers share, and its faults: it is unreachable, it is slow, it fails over and loses writes.

import type { Session } from '../../src/core/session.ts'
import type { Store } from '../../src/core/store.ts'
import { DaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import type { SeededRandom } from '../../src/testing/random.ts'
import type { Loop } from './loop.ts'

export interface Database {
  readonly loop: Loop
  readonly chance: SeededRandom
  readonly engine: Engine
  /** Called at each call that fails because the database is unreachable or slow. */
  readonly onUnavailable: () => void
  memory: Store
  /** The rows as they are now. */
  readonly rows: Map<string, Session>
  /** The last writes, oldest first: those that a failover may lose. */
  writes: Write[]
  /** Unreachable until then: calls fail `before` the database does anything, or `after` it did. */
  away: { until: number; how: 'before' | 'after' }
  /** Slow until then: callers get a 503, and their statements are carried out later, or never. */
  slowUntil: number
  /** When a call last failed. */
  lastAway: number
  /** Called once, after the next write. */
  onWrite: (() => void) | undefined
}

export interface Engine {
  /** Milliseconds after which a caller gets a 503. */
  timeout: number
  /** Milliseconds after which its statement is not carried out any more. */
  deadline: number
  /** Whether the engine has a clock of its own. That clock is right. */
  hasClock: boolean
}

/** One write of one row. */
interface Write {
  at: number
  id: string
  /** The row before; null if this write created it. */
  before: Session | null
  /** A sign-in, or the end of a session. No failover loses it once it was answered. */
  isKept: boolean
  isAnswered: boolean
  /** Whether a failover came before the response. The caller then gets a 503. */
  isLost: boolean
}

/** What a connection needs to know of its server. */
export interface Connected {
  readonly isDead: boolean
  readonly dieBeforeCommit: boolean
  readonly dieAfterCommit: boolean
  die(): void
}

/** A statement: it adds the writes that it made to `written`. */
type Statement<T> = (written: Write[]) => Promise<T>

export function createDatabase(loop: Loop, chance: SeededRandom, engine: Engine, onUnavailable: () => void): Database {
  return {
    loop,
    chance,
    engine,
    onUnavailable,
    memory: createMemoryStore(),
    rows: new Map(),
    writes: [],
    away: { until: 0, how: 'before' },
    slowUntil: 0,
    lastAway: Number.NEGATIVE_INFINITY,
    onWrite: undefined,
  }
}

/** The store as one server sees it. Once the server is dead, no call returns. */
export function connect(database: Database, server: Connected): Store {
  const { loop, rows, engine } = database
  const call = <T>(statement: Statement<T>, kind?: 'read' | 'write' | 'commit') =>
    callDatabase(database, server, statement, kind)
  const write = (id: string, before: Session | null, isKept: boolean): Write => ({
    at: loop.now(),
    id,
    before,
    isKept,
    isAnswered: false,
    isLost: false,
  })
  return {
    // Without a delay, like `revokedSince`, which may be the first call.
    async open(issuer) {
      if (loop.now() < database.away.until) throw unavailable(database)
      await database.memory.open(issuer)
    },
    create: (session) =>
      call(async (written) => {
        await database.memory.create(session)
        written.push(write(session.id, null, true))
      }, 'write'),
    find: (id) => call(() => database.memory.find(id)),
    advance: (step) =>
      call(async (written) => {
        const before = await database.memory.find(step.id)
        const advanced = await database.memory.advance(step)
        if (advanced) written.push(write(step.id, before, false))
        return advanced
      }, 'commit'),
    update: (id, now, changes) =>
      call(async (written) => {
        const before = await database.memory.find(id)
        const row = await database.memory.update(id, now, changes)
        if (row) written.push(write(id, before, false))
        return row
      }, 'write'),
    revoke: (id, now, reason) =>
      call(async (written) => {
        const before = await database.memory.find(id)
        const row = await database.memory.revoke(id, now, reason)
        if (row) written.push(write(id, before, true))
        return row
      }, 'write'),
    revokeSubject: (subject, now, reason, exceptId) =>
      call(async (written) => {
        const ended = await database.memory.revokeSubject(subject, now, reason, exceptId)
        for (const { id } of ended) written.push(write(id, rows.get(id) ?? null, true))
        return ended
      }, 'write'),
    list: (subject, now, limit) => call(() => database.memory.list(subject, now, limit)),
    // Without a delay: its caller races it with a real timer.
    async revokedSince(since) {
      if (loop.now() >= database.away.until) return database.memory.revokedSince(since)
      database.lastAway = loop.now()
      throw unavailable(database)
    },
    prune: (before, limit) => call(() => database.memory.prune(before, limit)),
    check: () => call(() => database.memory.check()),
    // Without a delay, because it is a part of opening.
    ...(engine.hasClock && {
      async readClock() {
        if (loop.now() < database.away.until) throw unavailable(database)
        return loop.now()
      },
    }),
    async close() {},
  }
}

/**
 * A replica takes over. The writes of the last `lag` milliseconds are lost, but no sign-in and no end of a session that was
 * answered, and nothing that was written to its row before it.
 *
 * @returns The id of the row of each lost write.
 */
export async function failOver(database: Database, lag: number): Promise<string[]> {
  const { loop, rows } = database
  const replica = createMemoryStore()
  const lost: string[] = []
  for (const id of rows.keys()) {
    const row = await database.memory.find(id)
    if (row === null) continue
    const late = database.writes.filter((write) => write.id === id && write.at >= loop.now() - lag)
    // What was answered had reached the replica, and so had everything written to the row before it.
    const kept = late.findLastIndex(({ isKept, isAnswered }) => isKept && isAnswered)
    const gone = late.slice(kept + 1)
    const [first] = gone
    const before = first ? first.before : row
    for (const write of gone) write.isLost = write.isKept
    lost.push(...gone.map(() => id))
    if (before) {
      await replica.create(before)
      rows.set(id, before)
    } else rows.delete(id)
  }
  database.writes = []
  database.memory = replica
  return lost
}

function unavailable({ onUnavailable }: Database): DaypassError {
  onUnavailable()
  return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'simulated' })
}

/** Sends a statement to the database and waits for the response. */
async function callDatabase<T>(
  database: Database,
  server: Connected,
  statement: Statement<T>,
  kind: 'read' | 'write' | 'commit' = 'read',
): Promise<T> {
  const { loop, chance, engine } = database
  const never = new Promise<never>(() => {})
  await loop.sleep(1 + chance.below(4))
  if (server.isDead) return never
  if (kind === 'commit' && server.dieBeforeCommit) {
    server.die()
    return never
  }
  const { away } = database
  const isAway = loop.now() < away.until
  const isSlow = loop.now() < database.slowUntil && chance.below(2) === 0
  if (isAway || isSlow) database.lastAway = loop.now()
  if (isAway && away.how === 'before') throw unavailable(database)
  if (isSlow) {
    const after = chance.below(2 * engine.deadline)
    // Carried out although the caller has given up; void after the deadline.
    if (kind !== 'read' && after < engine.deadline) loop.after(after, () => carryOut(database, statement))
    await loop.sleep(engine.timeout)
    if (server.isDead) return never
    throw unavailable(database)
  }
  const { result, written } = await carryOut(database, statement)
  if (kind === 'commit' && server.dieAfterCommit) server.die()
  if (chance.below(4) === 0) await loop.sleep(1 + chance.below(4))
  if (server.isDead) return never
  if (isAway || written.some(({ isLost }) => isLost)) throw unavailable(database)
  for (const write of written) write.isAnswered = true
  return result
}

/** Carries out a statement and records its writes. */
async function carryOut<T>(
  database: Database,
  statement: Statement<T>,
): Promise<{ result: T; written: readonly Write[] }> {
  const { loop, rows } = database
  const written: Write[] = []
  const result = await statement(written)
  if (written.length === 0) return { result, written }
  for (const { id } of written) {
    const row = await database.memory.find(id)
    if (row) rows.set(id, row)
  }
  database.writes = [...database.writes.filter(({ at }) => at > loop.now() - 5000), ...written]
  const { onWrite } = database
  database.onWrite = undefined
  onWrite?.()
  return { result, written }
}
