// What can befall a database? It is away, it answers late, it fails over and has lost its last writes.

import { DaypassError } from '../../src/core/errors.ts'
import type { Session, Store } from '../../src/core/types.ts'
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
  /** When it was away last. */
  lastAway: number
  /** Called once, after the next write that a failover may lose. */
  onWrite: (() => void) | undefined
  /** The replica takes over: what was written to tokens' rows in the last `lag` milliseconds is lost. Whose, a name for each write. */
  failOver(lag: number): Promise<string[]>
}

export function createDatabase(loop: Loop, chance: SeededRandom, onAway: () => void): Database {
  let memory = createMemoryStore()
  const rows = new Map<string, Session>()
  /** Rows as they were before each write that a failover may lose: never a sign-in, never an end. */
  let writes: { at: number; before: Session }[] = []

  const database: Database = {
    rows,
    away: { until: 0, how: 'before' },
    lastAway: Number.NEGATIVE_INFINITY,
    onWrite: undefined,
    connect(server) {
      const never = new Promise<never>(() => {})
      const unavailable = () => {
        onAway()
        return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'simulated' })
      }
      /** A call on its way there and back. */
      async function call<T>(work: (memory: Store) => Promise<T>, isWrite = false): Promise<T> {
        await loop.sleep(1 + chance.below(4))
        if (server.isDead) return never
        if (isWrite && server.dieBeforeCommit) {
          server.die()
          return never
        }
        const { away } = database
        const isAway = loop.now() < away.until
        if (isAway) database.lastAway = loop.now()
        if (isAway && away.how === 'before') throw unavailable()
        const result = await work(memory)
        if (isWrite && server.dieAfterCommit) server.die()
        if (chance.below(4) === 0) await loop.sleep(1 + chance.below(4))
        if (server.isDead) return never
        if (isAway) throw unavailable()
        return result
      }
      const keep = (before: Session) => {
        writes = writes.filter(({ at }) => at > loop.now() - 5000)
        writes.push({ at: loop.now(), before })
        const { onWrite } = database
        database.onWrite = undefined
        onWrite?.()
      }
      return {
        // At once, as `revokedSince`, which may be the first call.
        async open(issuer) {
          if (loop.now() < database.away.until) throw unavailable()
          await memory.open(issuer)
        },
        create: (session) =>
          call(async (memory) => {
            await memory.create(session)
            rows.set(session.id, session)
          }),
        find: (id) => call((memory) => memory.find(id)),
        advance: (step) =>
          call(async (memory) => {
            const before = await memory.find(step.id)
            const advanced = await memory.advance(step)
            if (advanced) {
              keep(before!)
              rows.set(step.id, advanced.session)
            }
            return advanced
          }, true),
        revoke: (id, now, reason) =>
          call(async (memory) => {
            const row = await memory.revoke(id, now, reason)
            if (row) rows.set(id, row)
            return row
          }),
        revokeSubject: (subject, now, reason, exceptId) =>
          call(async (memory) => {
            const ended = await memory.revokeSubject(subject, now, reason, exceptId)
            for (const row of ended) rows.set(row.id, row)
            return ended
          }),
        list: (subject, now) => call((memory) => memory.list(subject, now, 100)),
        // At once: the one who asks races it with a real timer.
        async revokedSince(since) {
          if (loop.now() >= database.away.until) return memory.revokedSince(since)
          database.lastAway = loop.now()
          throw unavailable()
        },
        prune: (before, limit) => call((memory) => memory.prune(before, limit)),
        check: () => call((memory) => memory.check()),
        async close() {},
      }
    },
    async failOver(lag) {
      const lost = new Map<string, Session>()
      const late = writes.filter(({ at }) => at >= loop.now() - lag)
      for (const { before } of late.reverse()) lost.set(before.id, before)
      writes = []
      const replica = createMemoryStore()
      const ids: string[] = []
      for (const id of rows.keys()) {
        const row = await memory.find(id)
        if (row === null) continue
        const before = row.revokedAt === null ? lost.get(id) : undefined
        if (before) ids.push(...late.filter((write) => write.before.id === id).map(() => id))
        await replica.create(before ?? row)
        rows.set(id, before ?? row)
      }
      memory = replica
      return ids
    },
  }
  return database
}
