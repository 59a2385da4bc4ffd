// Capacity: bytes and refreshes that a session costs on each engine, and what that means for 1, 10 and 100 million people.
//
// `npm run capacity -- --sessions 200000 --refreshes 50 --engine sqlite`

import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import type { Session } from '../src/core/session.ts'
import type { Store } from '../src/core/store.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createPostgresStore } from '../src/stores/postgres.ts'
import { createRedisStore } from '../src/stores/redis.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import { makeSession } from '../src/testing/store-harness.ts'
import { startPostgres } from '../test/engines/postgres.ts'
import { connect, redisMissing, startRedis } from '../test/engines/redis.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '200000' },
    refreshes: { type: 'string', default: '50' },
    engine: { type: 'string' },
  },
})
const sessions = Number(values.sessions)
const refreshes = Number(values.refreshes)

interface Measured {
  name: string
  store: Store
  /** Bytes that the engine holds, indexes included. */
  bytes(): Promise<number>
  close(): Promise<void>
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const engines: Record<string, () => Promise<Measured>> = {
  async memory() {
    const store = createMemoryStore()
    return {
      name: 'memory',
      store,
      async bytes() {
        collectGarbage()
        const { heapUsed, external } = process.memoryUsage()
        return heapUsed + external
      },
      close: store.close,
    }
  },
  async sqlite() {
    const folder = mkdtempSync(join(tmpdir(), 'daypass-capacity-'))
    const db = new DatabaseSync(join(folder, 'daypass.db'))
    const store = createSqliteStore(db)
    return {
      name: `SQLite ${process.versions.sqlite}`,
      store,
      async bytes() {
        const { size } = db
          .prepare(
            'SELECT (page_count - freelist_count) * page_size AS size FROM pragma_page_count, pragma_freelist_count, pragma_page_size',
          )
          .get() as { size: number }
        return size
      },
      async close() {
        await store.close()
        db.close()
        rmSync(folder, { recursive: true })
      },
    }
  },
  async postgres() {
    const engine = await startPostgres()
    const pool = new pg.Pool({ connectionString: engine.url })
    return {
      name: `PostgreSQL ${engine.version}`,
      store: createPostgresStore(pool),
      async bytes() {
        await pool.query('VACUUM daypass_session')
        const { rows } = await pool.query("SELECT pg_total_relation_size('daypass_session')::float8 AS size")
        return rows[0].size
      },
      async close() {
        await pool.end()
        await engine.remove()
      },
    }
  },
  async redis() {
    const engine = await startRedis()
    const { client, close } = await connect(engine.url, 'ioredis')
    return {
      name: `Redis ${engine.version}`,
      store: createRedisStore(client),
      bytes: async () => Number(/used_memory_dataset:(\d+)/.exec(String(await engine.admin.info('memory')))?.[1]),
      async close() {
        close()
        await engine.remove()
      },
    }
  },
}

const day = 86_400_000
const newSession = (now: number, index: number): Session =>
  makeSession(now, {
    subject: `0198c0de-0000-7000-8000-${index.toString(16).padStart(12, '0')}`,
    claims: { role: 'user' },
    amr: ['pwd'],
    idleExpiresAt: now + 7 * day,
    expiresAt: now + 30 * day,
    device: {
      ip: '203.0.113.7',
      userAgent: 'Mozilla/5.0 (X11; Linux x64) AppleWebKit/537.36 Chrome/147.0 Safari/537.36',
    },
  })

/** Runs `call` for each number below `count`, 500 at a time. Shows progress on a terminal. Returns calls a second. */
async function inFlight(what: string, count: number, call: (index: number) => Promise<unknown>): Promise<number> {
  const began = performance.now()
  let next = 0
  let shown = began
  const lane = async () => {
    while (next < count) {
      await call(next++)
      if (process.stderr.isTTY && performance.now() - shown > 500) {
        shown = performance.now()
        process.stderr.write(`\r  ${what} ${Math.floor((next / count) * 100)} % `)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(500, count) }, lane))
  return (count / (performance.now() - began)) * 1000
}

/** Seconds of processor time that this process and all its children have used. */
function processorSeconds(): number {
  if (!existsSync('/proc/self/stat')) return process.resourceUsage().userCPUTime / 1e6
  const parents = new Map<number, number>()
  const used = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue
    try {
      // The command's name, in brackets, may contain spaces.
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ')
      parents.set(Number(name), Number(fields[1]))
      // In hundredths of a second, ended children included.
      used.set(Number(name), (Number(fields[11]) + Number(fields[12]) + Number(fields[13]) + Number(fields[14])) / 100)
    } catch {} // it ended meanwhile
  }
  const isBelow = (pid: number | undefined): boolean =>
    pid === process.pid || (pid !== undefined && pid > 1 && isBelow(parents.get(pid)))
  let sum = 0
  for (const [pid, seconds] of used) if (isBelow(pid)) sum += seconds
  return sum
}

const table: Record<string, object> = {}
for (const [key, open] of Object.entries(engines)) {
  if (values.engine !== undefined && values.engine !== key) continue
  if (key === 'redis' && redisMissing) {
    console.log(redisMissing)
    continue
  }
  const { name, store, bytes, close } = await open()
  try {
    // The bytes of an empty database are not a session's.
    await store.open('https://example.com')
    const empty = await bytes()
    const now = Date.now()
    const ids: string[] = []
    await inFlight(`${name}: sign-ins`, sessions, async (index) => {
      const session = newSession(now, index)
      ids[index] = session.id
      await store.create(session)
    })
    const before = (await bytes()) - empty
    const began = processorSeconds()
    let halfWay = Promise.resolve(empty)
    const half = Math.floor(refreshes / 2) * sessions
    const perSecond = await inFlight(`${name}: refreshes`, sessions * refreshes, async (index) => {
      const generation = Math.floor(index / sessions)
      if (index === half) halfWay = bytes()
      await halfWay
      // A refresh every quarter of an hour.
      const at = now + (generation + 1) * 900_000
      const keys = { salt: randomBytes(8), key: randomBytes(16) }
      // People refresh in no order of their rows.
      const id = ids[(index * 7919) % sessions] ?? ''
      return store.advance({ id, generation, ...keys, now: at, idleTimeout: 7 * day, reuseInterval: 30_000 })
    })
    const perCore = (sessions * refreshes) / (processorSeconds() - began)
    const after = (await bytes()) - empty
    // Every person is active at once, with a new access token every quarter of an hour.
    const coresFor = (people: number) => +(people / 900 / perCore).toFixed(2)
    table[name] = {
      'bytes a session': Math.round(before / sessions),
      [`after ${Math.floor(refreshes / 2)} refreshes`]: Math.round(((await halfWay) - empty) / sessions),
      [`after ${refreshes}`]: Math.round(after / sessions),
      'refreshes/s': Math.round(perSecond),
      'a core': Math.round(perCore),
      'cores for 1 M': coresFor(1e6),
      'for 10 M': coresFor(1e7),
      'for 100 M': coresFor(1e8),
      'GB for 1 M': +((after / sessions) * 1e-3).toFixed(2),
      'for 10 M ': +((after / sessions) * 1e-2).toFixed(1),
      'for 100 M ': +((after / sessions) * 1e-1).toFixed(0),
    }
    console.log(`${name}: ${JSON.stringify(table[name])}`)
  } finally {
    await close()
  }
}
console.log(
  `\n${sessions} sessions, ${refreshes} refreshes each; this machine, the engine and this script on the same cores`,
)
console.table(table)
