// Sessions in Redis, through the app's own client: one server, behind Sentinels, or a Cluster.
//
// `prefix:{id}`              the row of a session: one string (redis-row.ts), expired by the engine
// `prefix:subject:subject`   a sorted set: `id:createdAt` by when it is over at the latest
// `prefix:revoked`           a sorted set: `id` by revokedAt; `?id` while a revoke of it is under way
//
// In a Cluster these live on different servers, so nothing spans two of them. What is about a session stands before it
// in the index, and a revoke is announced before it is done: whatever a crash leaves half done, the next reader sees and
// mends (docs/redis.md).

import { Buffer } from 'node:buffer'
import { DaypassError } from '../core/errors.ts'
import type { Advance, RevokedReason, Session, Store } from '../core/types.ts'
import { withDeadline } from './deadline.ts'
import {
  asRedisError,
  connectRedis,
  defineScript,
  type RedisArgument,
  type RedisClient,
  type RedisScript,
} from './redis-client.ts'
import { decodeRow, encodeIp, encodeRow, packRow, reasonNumber, unpackRow } from './redis-row.ts'

/** Options of {@link createRedisStore}. */
export interface RedisStoreOptions {
  /** What all keys begin with. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the answer is 503, at most 10,000. Default 5,000. */
  timeout?: number
  /**
   * A sign-in and a revoke are answered only when so many replicas have them, else `ERR_STORE_UNAVAILABLE`. Refreshes
   * never wait: a lost rotation mends itself. Milliseconds. Default: no waiting.
   */
  wait?: { replicas: number; timeout: number }
  /** Milliseconds since the epoch; give the same as to `createDaypass`. Default `Date.now`. */
  clock?: () => number
}

/** How long the engine keeps a row that is over, so that it can still be told what became of it. */
const retention = 3_600_000

/** A create that took longer than this is over: nobody waits for its second half. */
const grace = 60_000

/** One command where its key lives. In a script, because clients may send a plain read to a replica, which is behind. */
const callScript = defineScript('return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))')

/** Adds to the index; gives a few entries that are so old that the engine should have expired their rows. */
const indexScript = defineScript(`
local member, createdAt, expiresAt, retention = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZADD', KEYS[1], expiresAt, member)
local ttl = expiresAt - createdAt + retention
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', createdAt - retention, 'LIMIT', 0, 10)`)

/** A step that comes late (a queue, a network that was cut) is not taken: whoever asked was told 503 and asked again. */
const refuseLate = `
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
if clock > tonumber(ARGV[1]) then return {'late', clock} end`

// What core/rotation.ts calls `advance`, on the row where it lives.
const advanceScript = defineScript(`${refuseLate}
local asked, now, reuseInterval = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${unpackRow}
if generation > asked or revokedAt > 0 or now >= expiresAt or now >= idleExpiresAt then return {'none'} end
local outcome = generation < asked and 'healed' or 'done'
if now - burstAt >= reuseInterval then
  prevBurstGeneration = now - rotatedAt < reuseInterval and burstGeneration or generation - 1
  burstAt, burstGeneration = now, generation - 1
end
rotatedAt = now
generation, idleExpiresAt = asked + 1, math.min(tonumber(ARGV[4]), expiresAt)
salt, key = ARGV[7], ARGV[8]
if ARGV[9] ~= '' then ip = ARGV[9] end
${packRow}
redis.call('SET', KEYS[1], row, 'PX', math.max(idleExpiresAt - now, 0) + tonumber(ARGV[6]))
return {outcome, row}`)

const revokeScript = defineScript(`${refuseLate}
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${unpackRow}
if revokedAt > 0 then return {'none', row} end
revokedAt, reason = tonumber(ARGV[2]), tonumber(ARGV[3])
${packRow}
redis.call('SET', KEYS[1], row, 'PX', ARGV[4])
return {'done', row}`)

const pruneScript = defineScript(`
local before = tonumber(ARGV[1])
local row = redis.call('GET', KEYS[1])
if not row then return 0 end
${unpackRow}
if math.min(idleExpiresAt, expiresAt) >= before and (revokedAt == 0 or revokedAt >= before) then return 0 end
return redis.call('DEL', KEYS[1])`)

/**
 * A store in Redis 6 or newer (`daypass/redis`): one round trip a refresh, rows that the engine expires by itself. How
 * Redis must be set up so that it forgets nobody, and what a failover may lose, is in docs/redis.md.
 *
 * @param client An instance of `redis` (`createClient`, `createCluster`, `createSentinel`) or of `ioredis` (`Redis`,
 *   `Cluster`); the app connects and closes it.
 * @returns The store; what the engine refuses is `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createRedisStore } from 'daypass/redis'
 * import { createClient } from 'redis'
 *
 * const client = createClient({ url: process.env.REDIS_URL! })
 * client.on('error', console.error)
 * await client.connect()
 * const store = createRedisStore(client)
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createRedisStore(client: RedisClient, options: RedisStoreOptions = {}): Store {
  const { prefix, timeout, wait, clock } = readOptions(options)
  const redis = connectRedis(client, timeout)
  const rowKey = (id: string) => `${prefix}:{${id}}`
  const indexKey = (subject: string) => `${prefix}:subject:${subject}`
  const feedKey = `${prefix}:revoked`
  const inFlight = new Set<Promise<unknown>>()
  /** How far the engine's clock was seen to be ahead of ours, in milliseconds. */
  let ahead = 0

  /** Every method goes through here: bounded in time, its errors in our words, waited for by `close`. */
  function within<T>(body: (began: number) => Promise<T>): Promise<T> {
    const call = withDeadline(body(Date.now()), timeout).catch((error) => {
      throw asRedisError(error)
    })
    inFlight.add(call)
    const done = () => inFlight.delete(call)
    call.then(done, done)
    return call
  }

  const call = (key: string, ...command: RedisArgument[]) => redis.run(callScript, key, command)

  /** Runs a script that begins with `refuseLate`, for a call that began at an instant of ours. */
  async function inTime(began: number, script: RedisScript, key: string, args: RedisArgument[]) {
    while (Date.now() - began < timeout) {
      const deadline = began + timeout + ahead
      const [outcome, value] = (await redis.run(script, key, [String(deadline), ...args])) as [Buffer, unknown]
      if (String(outcome) !== 'late') return { outcome: String(outcome), row: value as Buffer | undefined }
      // Where there is time left by our clock, the engine's is ahead. The one furthest ahead counts for a whole Cluster.
      if (Date.now() - began < timeout) ahead = Math.max(ahead, Number(value) - Date.now())
    }
    throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: 'too late' })
  }

  async function read(id: string): Promise<Session | null> {
    const row = (await call(rowKey(id), 'GET')) as Buffer | null
    return row === null ? null : decodeRow(id, row)
  }

  async function readIndex(subject: string, now: number): Promise<Session[]> {
    const members = (await call(indexKey(subject), 'ZRANGE', '0', '-1')) as Buffer[]
    return readMembers(subject, members.map(String), now)
  }

  /** The rows of entries of the index. Entries that have none, and will not have one, go. */
  async function readMembers(subject: string, members: string[], now: number): Promise<Session[]> {
    const entries = members.map((member) => ({ member, at: member.lastIndexOf(':') }))
    const rows = await Promise.all(entries.map(({ member, at }) => read(member.slice(0, at))))
    // An entry whose row is not there: a create that broke off or is under way, or a row that the engine has expired.
    const dangling = entries.filter(({ member, at }, index) => {
      const row = rows[index]!
      return row === null ? Number(member.slice(at + 1)) < now - grace : row.subject !== subject
    })
    await removeFromIndex(
      subject,
      dangling.map(({ member }) => member),
    )
    return rows.filter((row) => row?.subject === subject) as Session[]
  }

  async function removeFromIndex(subject: string, members: string[]): Promise<void> {
    // A script takes no more than some thousand words; what is left over goes the next time.
    if (members.length > 0) await call(indexKey(subject), 'ZREM', ...members.slice(0, 5000))
  }

  const memberOf = ({ id, createdAt }: Session) => `${id}:${createdAt}`

  async function addToIndex(session: Session): Promise<void> {
    const { subject, createdAt, expiresAt } = session
    const args = [memberOf(session), String(createdAt), String(expiresAt), String(retention)]
    const old = (await redis.run(indexScript, indexKey(subject), args)) as Buffer[]
    if (old.length > 0) inBackground(() => readMembers(subject, old.map(String), createdAt))
  }

  /** Tidying that nobody waits for but `close`, and that happens another time where it fails. */
  function inBackground(body: () => Promise<unknown>): void {
    within(body).catch(() => {})
  }

  async function waitForReplicas(keys: string[]): Promise<void> {
    if (wait === undefined || (await redis.isReplicated(keys, wait.replicas, wait.timeout))) return
    throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: `not on ${wait.replicas} replicas in time` })
  }

  /** Ends sessions of one subject that were live a moment ago; the rows that this call ended. */
  async function end(began: number, live: Session[], now: number, reason: RevokedReason): Promise<Session[]> {
    const ended: Session[] = []
    for (let start = 0; start < live.length; start += 1000) {
      const rows = live.slice(start, start + 1000)
      await call(feedKey, 'ZADD', ...rows.flatMap(({ id }) => [String(now), `?${id}`]))
      const args = [String(now), String(reasonNumber(reason)), String(retention)]
      const answers = await Promise.all(rows.map(({ id }) => inTime(began, revokeScript, rowKey(id), args)))
      const revoked = rows.flatMap(({ id }, index) => {
        const { outcome, row } = answers[index]!
        if (row === undefined) return []
        const session = decodeRow(id, row)
        if (outcome === 'done') ended.push(session)
        return [session]
      })
      await waitForReplicas(rows.map(({ id }) => rowKey(id)))
      // In the index they stay until their rows are gone: a failover that loses a revoke leaves no session unlisted.
      const over = rows.flatMap((row) => [String(now), memberOf(row)])
      await Promise.all([tellRevoked(revoked), call(indexKey(rows[0]!.subject), 'ZADD', 'XX', ...over)])
      // Where a row had gone meanwhile, there is nothing left to be told.
      await call(feedKey, 'ZREM', ...rows.map(({ id }) => `?${id}`))
    }
    return ended
  }

  async function tellRevoked(revoked: Session[]): Promise<void> {
    if (revoked.length === 0) return
    await call(feedKey, 'ZADD', ...revoked.flatMap(({ id, revokedAt }) => [String(revokedAt), id]))
  }

  /** A revoke that was announced and not confirmed: under way, or its process died. The row knows whether it happened. */
  async function settle(id: string): Promise<Session | null> {
    const row = await read(id)
    if (row === null || row.revokedAt === null) return null
    await tellRevoked([row])
    await call(feedKey, 'ZREM', `?${id}`)
    return row
  }

  /** Deletes rows that the engine would keep for a while yet. */
  async function pruneEarly(before: number, limit: number): Promise<number> {
    let pruned = 0
    // The client may set a prefix of its own before ours.
    for await (const keys of redis.scan(`*${escapeGlob(prefix)}:{*}`)) {
      const ids = keys.map((key) => key.slice(key.lastIndexOf('{') + 1, -1))
      while (ids.length > 0) {
        if (pruned === limit) return pruned
        const step = ids.splice(0, limit - pruned)
        const deleted = await Promise.all(step.map((id) => redis.run(pruneScript, rowKey(id), [String(before)])))
        const gone = step.filter((_id, index) => Number(deleted[index]) === 1)
        if (gone.length > 0) await call(feedKey, 'ZREM', ...gone)
        pruned += gone.length
      }
    }
    return pruned
  }

  return {
    async open() {},
    create: (session) =>
      within(async () => {
        const { id, subject, revokedAt } = session
        const row = encodeRow(session)
        // The index first: what breaks off in between is an entry without a row, never a row that no list shows.
        await addToIndex(session)
        const over = Math.min(session.idleExpiresAt, revokedAt ?? Number.POSITIVE_INFINITY)
        const ttl = Math.max(over - session.rotatedAt, 0) + retention
        const written = await call(rowKey(id), 'SET', row, 'NX', 'PX', String(Math.round(ttl)))
        if (written === null) {
          // A client that lost its connection may have sent it twice: then the very same row is there.
          const present = (await call(rowKey(id), 'GET')) as Buffer | null
          if (present === null || !row.equals(present)) {
            throw new DaypassError('ERR_STORE_UNAVAILABLE', undefined, {
              cause: 'a session of this id is there already',
            })
          }
        }
        if (revokedAt !== null) await tellRevoked([session])
        await waitForReplicas([indexKey(subject), rowKey(id)])
      }),
    find: (id) => within(() => read(id)),
    advance: (step) =>
      within(async (began) => {
        const { outcome, row } = await inTime(began, advanceScript, rowKey(step.id), toArguments(step))
        if (row === undefined) return null
        const session = decodeRow(step.id, row)
        // Once in a session's life, and nobody waits for it: a failover at the sign-in may have lost the entry alone.
        if (session.generation === 1) inBackground(() => addToIndex(session))
        return { session, healed: outcome === 'healed' }
      }),
    revoke: (id, now, reason) =>
      within(async (began) => {
        const row = await read(id)
        if (row === null) return null
        if (row.revokedAt === null) return (await end(began, [row], now, reason))[0] ?? null
        // Asked again, perhaps because the first time broke off: then the replicas and the verifiers are still to hear.
        await waitForReplicas([rowKey(id)])
        await tellRevoked([row])
        return null
      }),
    revokeSubject: (subject, now, reason, exceptId) =>
      within(async (began) => {
        const rows = await readIndex(subject, now)
        const live = rows.filter(({ id, revokedAt }) => revokedAt === null && id !== exceptId)
        return end(began, live, now, reason)
      }),
    list: (subject, now) =>
      within(async () => {
        const rows = await readIndex(subject, now)
        return rows
          .filter((row) => row.revokedAt === null && row.expiresAt > now && row.idleExpiresAt > now)
          .sort((a, b) => b.createdAt - a.createdAt)
      }),
    revokedSince: (since) =>
      within(async () => {
        const lowest = since === Number.NEGATIVE_INFINITY ? '-inf' : String(since)
        const reply = (await call(feedKey, 'ZRANGEBYSCORE', lowest, '+inf', 'WITHSCORES')) as Buffer[]
        const revoked = new Map<string, number>()
        const announced: string[] = []
        for (let i = 0; i < reply.length; i += 2) {
          const member = String(reply[i])
          if (member.startsWith('?')) announced.push(member.slice(1))
          else revoked.set(member, Number(String(reply[i + 1])))
        }
        for (const row of await Promise.all(announced.map(settle))) {
          if (row !== null && row.revokedAt! >= since) revoked.set(row.id, row.revokedAt!)
        }
        return Array.from(revoked, ([id, revokedAt]) => ({ id, revokedAt }))
      }),
    prune: (before, limit) =>
      within(async () => {
        await call(feedKey, 'ZREMRANGEBYSCORE', '-inf', `(${before}`)
        // Rows go by themselves an hour after they are over. Only who wants them gone sooner makes us look for them.
        return before <= clock() - retention ? 0 : pruneEarly(before, limit)
      }),
    // A write, for a server that is full or became a replica.
    check: () => within(async () => void (await call(`${prefix}:check`, 'SET', '1', 'PX', '1000'))),
    async close() {
      while (inFlight.size > 0) await Promise.allSettled(inFlight)
    },
  }
}

function toArguments({ generation, salt, key, now, idleExpiresAt, reuseInterval, ip }: Advance): RedisArgument[] {
  const numbers = [generation, now, idleExpiresAt, reuseInterval, retention].map(String)
  return [...numbers, toBuffer(salt), toBuffer(key), encodeIp(ip)]
}

const toBuffer = (bytes: Uint8Array | null) =>
  bytes === null ? Buffer.alloc(0) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const escapeGlob = (text: string) => text.replaceAll(/[*?[\]\\]/g, '\\$&')

function readOptions({ prefix = 'daypass', timeout = 5000, wait, clock = Date.now }: RedisStoreOptions) {
  const wrong = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)
  if (typeof prefix !== 'string' || prefix === '') throw wrong('`prefix` must be a text.')
  // Verifiers look back ten seconds: a revoke must not happen longer than that after its instant.
  if (!(timeout >= 1 && timeout <= 10_000)) throw wrong('`timeout` must be 1 to 10,000 milliseconds.')
  if (wait !== undefined && !(wait.replicas >= 1 && wait.timeout >= 1 && wait.timeout < timeout)) {
    throw wrong('`wait` must name 1 or more `replicas`, and a `timeout` in milliseconds below that of a call.')
  }
  return { prefix, timeout, wait, clock }
}
