// Redis store: sessions through the app's own client, on one server, behind Sentinels, or in a Cluster.
//
// `prefix:session:{id}`       the row of a session: one string (redis-row.ts), expired by the engine
// `prefix:subject:{subject}`  a sorted set: `id:createdAt` by when it is over at the latest
// `prefix:revoked`            a sorted set: `id` by when it was announced; `?id:now` at +inf while a revoke is in progress
// `prefix:schema:session`     a hash: the version of all this, and the issuer it belongs to (redis-schema.ts)
//
// The variable part of a key is in braces, and a prefix has none. So no two keys are equal, for any subject and prefix.
// In a Cluster these live on different servers, so nothing spans two of them. A session is in the index before its
// row is written, and a revoke is announced before it is done, so the next reader sees and completes what a crash left
// half done (docs/redis.md).

import { Buffer } from 'node:buffer'
import { applyChanges, type RevokedReason, type Session } from '../core/session.ts'
import type { Advance, Store } from '../core/store.ts'
import { DaypassError, isDaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions, isObject, wrongOption } from '../option.ts'
import { createBoundedCalls, readTimeout, withDeadline } from './deadline.ts'
import { asRedisError, connectRedis, type RedisArgument, type RedisClient, type RedisScript } from './redis-client.ts'
import { decodeRow, encodePiece, encodeRow, encodeTexts, readTexts } from './redis-row.ts'
import { checkRedisPrefix, openSchema } from './redis-schema.ts'
import {
  advanceScript,
  announceScript,
  callScript,
  clockScript,
  createScript,
  indexScript,
  keyScript,
  pruneScript,
  revokeScript,
  updateScript,
} from './redis-scripts.ts'
import { idTaken, unavailable } from './store-error.ts'

/** Options of {@link createRedisStore}. */
export interface RedisStoreOptions {
  /** The beginning of every key, without `{` and `}`. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the response is 503, at most 10,000. Default 5,000. */
  timeout?: number
  /**
   * A sign-in and a revoke are answered only when so many replicas have them, else `ERR_STORE_UNAVAILABLE`. Refreshes
   * never wait: a lost rotation heals. Milliseconds. Default: no waiting.
   */
  wait?: { replicas: number; timeout: number }
  /** Milliseconds since the epoch; give the same as to `createDaypass`. Default `Date.now`. */
  clock?: () => number
}

const optionNames: OptionNames<RedisStoreOptions> = { prefix: true, timeout: true, wait: true, clock: true }

/** How long the engine keeps an ended row, so that its tokens are still answered as ended. */
const retention = 3_600_000

/** Calls that began longer ago than this have finished, failed, or been interrupted. */
const grace = 60_000

/** Milliseconds that reading the row of one announced revoke may take. It does not delay the other rows of the feed. */
const settleTimeout = 300

/** The most sessions that one step of a revoke or of a list reads. */
const batchSize = 1000

/**
 * A store in Redis 6 or newer (`daypass/redis`): one round trip a refresh, rows that the engine expires by itself. How
 * Redis must be set up so that it loses no session, and what a failover may lose, is in docs/redis.md.
 *
 * @param client A client of `redis` (`createClient`, `createClientPool`, `createCluster`, `createSentinel`) or of
 *   `ioredis` (`Redis`, `Cluster`). The app listens to its "error" event, connects it and closes it.
 * @returns The store. Its calls fail with `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
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
  const rowKey = (id: string) => `${prefix}:session:{${id}}`
  const indexKey = (subject: string) => `${prefix}:subject:{${subject}}`
  const feedKey = `${prefix}:revoked`
  const { within, drain } = createBoundedCalls(timeout, asRedisError)
  /** How far the engine's clock is ahead of this machine's, in milliseconds. */
  let ahead = 0

  const call = (key: string, ...command: RedisArgument[]) => redis.run(callScript, key, command)

  /** Runs a script that begins with `refuseLate`, for a caller that waits `until` then, by our clock. */
  async function inTime(until: number, script: RedisScript, key: string, args: RedisArgument[]) {
    while (Date.now() < until) {
      const deadline = until + ahead
      const [name, value] = (await redis.run(script, key, [String(deadline), ...args])) as [Buffer, unknown]
      const outcome = String(name)
      if (outcome === 'schema') throw new DaypassError('ERR_STORE_SCHEMA')
      if (outcome !== 'late') return { outcome, value }
      // Where there is time left by our clock, the engine's is ahead. The one furthest ahead counts for a whole Cluster.
      if (Date.now() < until) ahead = Math.max(ahead, Number(value) - Date.now())
    }
    throw unavailable('too late')
  }

  const readRow = async (id: string) => (await call(rowKey(id), 'GET')) as Buffer | null

  async function read(id: string): Promise<Session | null> {
    const row = await readRow(id)
    return row === null ? null : decodeRow(id, row)
  }

  /** A subject's entries, newest sign-in first. */
  async function readIndex(subject: string): Promise<Entry[]> {
    const members = (await call(indexKey(subject), 'ZRANGE', '0', '-1')) as Buffer[]
    return members.map((member) => readEntry(String(member))).sort((a, b) => b.at - a.at)
  }

  /** The rows of entries, null where there is none. Useless entries are deleted in the background. */
  async function readEntries(subject: string, entries: Entry[], now: number): Promise<(Session | null)[]> {
    const rows = await Promise.all(entries.map(({ id }) => read(id)))
    const useless = entries.filter(({ at }, index) => {
      const row = rows[index] ?? null
      // No row: a create that broke off or is under way, or a row that the engine has expired. Revoked: for a minute, a
      // failover may still lose it.
      if (row === null) return at < now - grace
      return row.subject !== subject || (row.revokedAt !== null && row.revokedAt < now - grace)
    })
    if (useless.length > 0) {
      const members = useless.slice(0, batchSize).map(({ member }) => member)
      inBackground(() => call(indexKey(subject), 'ZREM', ...members))
    }
    return rows.map((row) => (row?.subject === subject ? row : null))
  }

  async function addToIndex(until: number, session: Session): Promise<void> {
    const { subject, createdAt, expiresAt } = session
    const args = [memberOf(session), String(createdAt), String(expiresAt), String(retention)]
    const old = (await inTime(until, indexScript, indexKey(subject), args)).value as Buffer[]
    if (old.length > 0) {
      const entries = old.map((member) => readEntry(String(member)))
      inBackground(() => readEntries(subject, entries, createdAt))
    }
  }

  /** Runs clean-up that only `close` waits for. Where it fails, a later call does it. */
  function inBackground(body: (until: number) => Promise<unknown>): void {
    within(body).catch(() => {})
  }

  async function waitForReplicas(keys: string[]): Promise<void> {
    if (wait === undefined || (await redis.isReplicated(keys, wait.replicas, wait.timeout))) return
    throw unavailable(`not on ${wait.replicas} replicas in time`)
  }

  /**
   * Ends some sessions of one subject; the rows that this call ended. A session that cannot be ended leaves the others
   * alone, and the call fails in the end.
   */
  async function end(until: number, ids: string[], subject: string, now: number, reason: RevokedReason) {
    const announcement = (id: string) => `?${id}:${now}`
    await call(feedKey, 'ZADD', ...ids.flatMap((id) => ['+inf', announcement(id)]))
    const answers = await Promise.allSettled(ids.map((id) => endOne(until, id, subject, now, reason)))
    const ended: Session[] = []
    const over: Session[] = []
    const known: string[] = []
    for (const [index, id] of ids.entries()) {
      const answer = answers[index]
      if (answer === undefined) continue
      // A session that did not answer may have ended all the same. Its announcement stays, and readers of the feed look.
      if (answer.status === 'fulfilled' || isDaypassError(answer.reason, 'ERR_STORE_SCHEMA')) known.push(id)
      if (answer.status === 'rejected' || answer.value === null) continue
      over.push(answer.value.row)
      if (answer.value.isEnded) ended.push(answer.value.row)
    }
    await waitForReplicas(over.map(({ id }) => rowKey(id)))
    await announce(until, over, now, known.map(announcement))
    // In the index they stay for a while: a failover that loses a revoke leaves no session unlisted.
    const scores = over.flatMap((session) => [String(now), memberOf(session)])
    if (over.length > 0) inBackground(() => call(indexKey(subject), 'ZADD', 'XX', ...scores))
    const failed = answers.find((answer) => answer.status === 'rejected')
    if (failed) throw failed.reason
    return ended
  }

  /** The row of a session that is over, and whether this call ended it. Null where it is not there, or not theirs. */
  async function endOne(until: number, id: string, subject: string, now: number, reason: RevokedReason) {
    const row = await read(id)
    if (row?.subject !== subject) return null
    if (row.revokedAt !== null) return { row, isEnded: false }
    const args = [String(now), reason, String(retention)]
    const { outcome, value } = await inTime(until, revokeScript, rowKey(id), args)
    return value === undefined ? null : { row: decodeRow(id, value as Buffer), isEnded: outcome === 'done' }
  }

  /**
   * Puts sessions that are over into the feed, at the present instant where they ended before it: a revoke that is
   * completed late is new to the other instances.
   */
  async function announce(until: number, over: Session[], now: number, settled: string[] = []): Promise<void> {
    const pairs = over.flatMap(({ id, revokedAt }) => [String(Math.max(revokedAt ?? now, now)), id])
    if (pairs.length + settled.length === 0) return
    await inTime(until, announceScript, feedKey, [String(over.length), ...pairs, ...settled])
  }

  /** A revoke that was announced but not completed: in progress, or its process died. The row shows whether it happened. */
  async function settle(until: number, announcement: string): Promise<Session | null> {
    const { id, at } = readEntry(announcement.slice(1))
    const row = await read(id)
    if (row !== null && row.revokedAt !== null) {
      await announce(until, [row], clock(), [announcement])
      return row
    }
    // Where it has not happened by now, it will not.
    if (row === null || at < clock() - grace) await announce(until, [], 0, [announcement])
    return null
  }

  /** Deletes rows before the engine expires them. */
  async function pruneEarly(before: number, limit: number): Promise<number> {
    let pruned = 0
    const begin = String(await redis.run(keyScript, rowKey(''), [])).slice(0, -1)
    for await (const keys of redis.scan(Buffer.from(`${escapeGlob(begin)}*}`))) {
      const ids = keys.map((key) => String(key).slice(begin.length, -1))
      while (ids.length > 0) {
        if (pruned === limit) return pruned
        const step = ids.splice(0, limit - pruned)
        const answers = await Promise.all(step.map((id) => redis.run(pruneScript, rowKey(id), [String(before)])))
        const gone = step.filter((_id, index) => String((answers[index] as Buffer[])[0]) === 'done')
        if (gone.length > 0) await call(feedKey, 'ZREM', ...gone)
        pruned += gone.length
      }
    }
    return pruned
  }

  return {
    open: (issuer) =>
      within(async () => {
        // Check before anything is written, because a feed key of the app would make each call fail later.
        await call(feedKey, 'ZRANGE', '0', '0')
        await openSchema(redis, prefix, issuer)
      }),
    create: (session) =>
      within(async (until) => {
        const { id, subject, revokedAt } = session
        // Write the index first. A crash in between leaves an entry without a row, and never a row that no list shows.
        await addToIndex(until, session)
        const over = Math.min(session.idleExpiresAt, revokedAt ?? Number.POSITIVE_INFINITY)
        const ttl = Math.round(Math.max(over - session.rotatedAt, 0) + retention)
        const { outcome } = await inTime(until, createScript, rowKey(id), [encodeRow(session), String(ttl)])
        if (outcome === 'taken') {
          inBackground(() => call(indexKey(subject), 'ZREM', memberOf(session)))
          throw idTaken()
        }
        if (revokedAt !== null) await announce(until, [session], revokedAt)
        await waitForReplicas([indexKey(subject), rowKey(id)])
      }),
    find: (id) => within(() => read(id)),
    advance: (step) =>
      within(async (until) => {
        const { outcome, value } = await inTime(until, advanceScript, rowKey(step.id), toArguments(step))
        if (value === undefined) return null
        const session = decodeRow(step.id, value as Buffer)
        // Once in a session's life, in the background: a failover at the sign-in may have lost the entry alone.
        if (session.generation === 1) inBackground((begin) => addToIndex(begin, session))
        return { session, healed: outcome === 'healed' }
      }),
    update: (id, now, changes) =>
      within(async (until) => {
        const authTime = changes.authTime === undefined ? '' : String(changes.authTime)
        let row = await readRow(id)
        while (row !== null) {
          const session = applyChanges(decodeRow(id, row), changes)
          const { stored, added } = readTexts(row)
          const args = [String(now), stored, encodeTexts(session, added), authTime]
          const { outcome, value } = await inTime(until, updateScript, rowKey(id), args)
          if (outcome !== 'changed') return value === undefined ? null : decodeRow(id, value as Buffer)
          // Another update came first. This one is made of its row.
          row = value as Buffer
        }
        return null
      }),
    revoke: (id, now, reason) =>
      within(async (until) => {
        const row = await read(id)
        if (row === null) return null
        if (row.revokedAt === null) return (await end(until, [id], row.subject, now, reason))[0] ?? null
        // A repeated revoke. The first may have been interrupted, so the replicas and the verifiers may not have it yet.
        await waitForReplicas([rowKey(id)])
        await announce(until, [row], now)
        return null
      }),
    revokeSubject: (subject, now, reason, exceptId) =>
      within(async (until) => {
        const ids = (await readIndex(subject)).map(({ id }) => id).filter((id) => id !== exceptId)
        const ended: Session[] = []
        const failures: unknown[] = []
        while (ids.length > 0) {
          const batch = end(until, ids.splice(0, batchSize), subject, now, reason)
          ended.push(...((await batch.catch((error) => void failures.push(error))) ?? []))
        }
        if (failures.length > 0) throw failures[0]
        return ended
      }),
    list: (subject, now, limit) =>
      within(async () => {
        const entries = await readIndex(subject)
        const live: Session[] = []
        while (entries.length > 0 && live.length < limit) {
          const rows = await readEntries(subject, entries.splice(0, Math.min(limit, batchSize)), now)
          for (const row of rows) {
            if (row !== null && row.revokedAt === null && row.expiresAt > now && row.idleExpiresAt > now) live.push(row)
          }
        }
        return live.slice(0, limit)
      }),
    revokedSince: (since) =>
      within(async (until) => {
        const lowest = since === Number.NEGATIVE_INFINITY ? '-inf' : String(since)
        const reply = (await call(feedKey, 'ZRANGEBYSCORE', lowest, '+inf', 'WITHSCORES')) as Buffer[]
        const revoked = new Map<string, number>()
        const announced: string[] = []
        for (let i = 0; i < reply.length; i += 2) {
          const member = String(reply[i])
          if (member.startsWith('?')) announced.push(member)
          else revoked.set(member, Number(String(reply[i + 1])))
        }
        // A row that cannot be read delays no other. The next call reads it again.
        const settled = await Promise.allSettled(
          announced.map((announcement) => withDeadline(settle(until, announcement), settleTimeout)),
        )
        for (const result of settled) {
          if (result.status === 'fulfilled' && result.value !== null) {
            revoked.set(result.value.id, Math.max(result.value.revokedAt ?? since, since))
          }
        }
        return Array.from(revoked, ([id, revokedAt]) => ({ id, revokedAt }))
      }),
    prune: (before, limit) =>
      within(async () => {
        await call(feedKey, 'ZREMRANGEBYSCORE', '-inf', `(${before}`)
        // The engine expires rows an hour after their session ends. Look for rows only if they are to be deleted sooner.
        return before <= clock() - retention ? 0 : pruneEarly(before, limit)
      }),
    // A write, to detect a server that is full or became a replica.
    check: () => within(async () => void (await call(`${prefix}:check`, 'SET', '1', 'PX', '1000'))),
    readClock: () => within(async () => Number(await redis.run(clockScript, feedKey, []))),
    close: drain,
  }
}

/** A session and an instant: an entry of a subject's index. */
interface Entry {
  member: string
  id: string
  at: number
}

const memberOf = ({ id, createdAt }: Session) => `${id}:${createdAt}`

function readEntry(member: string): Entry {
  const colon = member.lastIndexOf(':')
  return { member, id: member.slice(0, colon), at: Number(member.slice(colon + 1)) }
}

function toArguments({ generation, salt, key, now, idleTimeout, reuseInterval, ip }: Advance): RedisArgument[] {
  const numbers = [generation, now, idleTimeout, reuseInterval, retention].map(String)
  return [...numbers, encodePiece(salt), encodePiece(key), encodePiece(ip)]
}

const escapeGlob = (text: string) => text.replaceAll(/[*?[\]\\]/g, '\\$&')

function readOptions(options: RedisStoreOptions) {
  checkOptions(options, optionNames)
  checkFunctions(options, 'clock')
  const { prefix = 'daypass', wait, clock = Date.now } = options
  const timeout = readTimeout(options.timeout)
  checkRedisPrefix(prefix)
  if (wait !== undefined && !(isObject(wait) && wait.replicas >= 1 && wait.timeout >= 1 && wait.timeout < timeout)) {
    throw wrongOption(
      'wait',
      wait,
      'Give 1 or more `replicas`, and a `timeout` in milliseconds that is below that of a call: { replicas: 1, timeout: 500 }.',
    )
  }
  return { prefix, timeout, wait, clock }
}
