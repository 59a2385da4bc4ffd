// What can befall a database? It is away, it is slow and carries out what nobody waits for any more, it fails over and has
// lost its last writes.

import type { Session } from '../../src/core/session.ts'
import type { Store } from '../../src/core/store.ts'
import { DaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import type { SeededRandom } from '../../src/testing/random.ts'
import type { Loop } from './loop.ts'

/** The database that all servers share, and the hands that break it. */
export interface Database {
  /** The store as one server sees it; after `isDead` it hears nothing any more. */
  connect(server: { isDead: boolean; dieBeforeCommit?: boolean; dieAfterCommit?: boolean; die(): void }): Store
  /** The rows as they are. */
  readonly rows: ReadonlyMap<string, Session>
  /** Away until then: `before` it does anything, or `after` it did. */
  away: { until: number; how: 'before' | 'after' }
  /** Slow until then: callers are told 503, and what they asked for is done later, or never. */
  slowUntil: number
  /** When it was away last, or slow. */
  lastAway: number
  /** Called once, after the next write that a failover may lose. */
  onWrite: (() => void) | undefined
  /**
   * The replica takes over. What was written in the last `lag` milliseconds is lost, but no sign-in and no end that was
   * answered, and nothing that was written to a row before it. Whose rows, an id for each write.
   */
  failOver(lag: number): Promise<string[]>
}

export interface Engine {
  /** When a caller is told 503, and until when what it asked for may still be carried out: milliseconds from the call. */
  timeout: number
  deadline: number
  /** Whether it has a clock of its own, which is right. */
  hasClock: boolean
}

/** One write of one row. */
interface Write {
  at: number
  id: string
  /** The row before; null where the write made it. */
  before: Session | null
  /** A sign-in or the end of a session, which no failover may lose once it was answered. */
  isKept: boolean
  isAnswered: boolean
  /** A failover came before the answer: its caller is told that it failed. */
  isLost?: boolean
}

export function createDatabase(loop: Loop, chance: SeededRandom, how: Engine, onAway: () => void): Database {
  let memory = createMemoryStore()
  const rows = new Map<string, Session>()
  let writes: Write[] = []

  const database: Database = {
    rows,
    away: { until: 0, how: 'before' },
    slowUntil: 0,
    lastAway: Number.NEGATIVE_INFINITY,
    onWrite: undefined,
    connect(server) {
      const never = new Promise<never>(() => {})
      const unavailable = () => {
        onAway()
        return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'simulated' })
      }
      /** A call on its way there and back. A write gives the rows that it changed, after and before. */
      async function call<T>(work: (written: Write[]) => Promise<T>, kind: 'read' | 'write' | 'commit' = 'read') {
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
        if (isAway && away.how === 'before') throw unavailable()
        if (isSlow) {
          const after = chance.below(2 * how.deadline)
          // It is carried out while nobody knows, or is void.
          if (kind !== 'read' && after < how.deadline) loop.after(after, () => carryOut(work))
          await loop.sleep(how.timeout)
          if (server.isDead) return never
          throw unavailable()
        }
        const { result, written } = await carryOut(work)
        if (kind === 'commit' && server.dieAfterCommit) server.die()
        if (chance.below(4) === 0) await loop.sleep(1 + chance.below(4))
        if (server.isDead) return never
        if (isAway || written.some(({ isLost }) => isLost)) throw unavailable()
        for (const write of written) write.isAnswered = true
        return result
      }
      return {
        // At once, as `revokedSince`, which may be the first call.
        async open(issuer) {
          if (loop.now() < database.away.until) throw unavailable()
          await memory.open(issuer)
        },
        create: (session) =>
          call(async (written) => {
            await memory.create(session)
            written.push({ at: loop.now(), id: session.id, before: null, isKept: true, isAnswered: false })
          }, 'write'),
        find: (id) => call(() => memory.find(id)),
        advance: (step) =>
          call(async (written) => {
            const before = await memory.find(step.id)
            const advanced = await memory.advance(step)
            if (advanced) written.push({ at: loop.now(), id: step.id, before, isKept: false, isAnswered: false })
            return advanced
          }, 'commit'),
        revoke: (id, now, reason) =>
          call(async (written) => {
            const before = await memory.find(id)
            const row = await memory.revoke(id, now, reason)
            if (row) written.push({ at: loop.now(), id, before, isKept: true, isAnswered: false })
            return row
          }, 'write'),
        revokeSubject: (subject, now, reason, exceptId) =>
          call(async (written) => {
            const ended = await memory.revokeSubject(subject, now, reason, exceptId)
            for (const { id } of ended)
              written.push({ at: loop.now(), id, before: rows.get(id)!, isKept: true, isAnswered: false })
            return ended
          }, 'write'),
        list: (subject, now, limit) => call(() => memory.list(subject, now, limit)),
        // At once: the one who asks races it with a real timer.
        async revokedSince(since) {
          if (loop.now() >= database.away.until) return memory.revokedSince(since)
          database.lastAway = loop.now()
          throw unavailable()
        },
        prune: (before, limit) => call(() => memory.prune(before, limit)),
        check: () => call(() => memory.check()),
        // At once, as it is part of opening.
        ...(how.hasClock && {
          async now() {
            if (loop.now() < database.away.until) throw unavailable()
            return loop.now()
          },
        }),
        async close() {},
      }
    },
    async failOver(lag) {
      const replica = createMemoryStore()
      const lost: string[] = []
      for (const id of rows.keys()) {
        const row = await memory.find(id)
        if (row === null) continue
        const late = writes.filter((write) => write.id === id && write.at >= loop.now() - lag)
        // What was answered after it had reached the replica took along what was written before.
        const kept = late.findLastIndex(({ isKept, isAnswered }) => isKept && isAnswered)
        const gone = late.slice(kept + 1)
        const before = gone.length > 0 ? gone[0]!.before : row
        for (const write of gone) write.isLost = write.isKept
        lost.push(...gone.map(() => id))
        if (before) {
          await replica.create(before)
          rows.set(id, before)
        } else rows.delete(id)
      }
      writes = []
      memory = replica
      return lost
    },
  }

  /** Does what a statement says, and writes down what it changed. */
  async function carryOut<T>(work: (written: Write[]) => Promise<T>): Promise<{ result: T; written: Write[] }> {
    const written: Write[] = []
    const result = await work(written)
    if (written.length === 0) return { result, written }
    for (const { id } of written) rows.set(id, (await memory.find(id))!)
    writes = [...writes.filter(({ at }) => at > loop.now() - 5000), ...written]
    const { onWrite } = database
    database.onWrite = undefined
    onWrite?.()
    return { result, written }
  }
  return database
}
