// Sessions in PostgreSQL, through the app's own `pg` Pool or `postgres` client.

import { Buffer } from 'node:buffer'
import type { Advance, Advanced, RevokedReason, Session, Store } from '../core/types.ts'
import { createGroupCommit, type Settled } from './group-commit.ts'
import { createQuery, type PgPool, type PostgresJs, type Row } from './postgres-query.ts'

export type { PgPool, PostgresJs } from './postgres-query.ts'

/** Options of {@link createPostgresStore}. */
export interface PostgresStoreOptions {
  /** Milliseconds that a statement may take before the answer is 503. Default 5,000. */
  timeout?: number
}

/**
 * Each brings the schema one version further; entries are only ever added. Each is safe to run twice and by several
 * instances at once, and none needs a session of its own, so that PgBouncer in transaction mode may be in between.
 * Nothing here is PostgreSQL's alone that CockroachDB or YugabyteDB lack.
 */
const migrations = [
  // What a refresh changes is in no index (idle_hour moves once an hour at most), so nearly every update is HOT.
  `CREATE TABLE IF NOT EXISTS daypass_session (
     id uuid PRIMARY KEY, subject text NOT NULL, client_id text NOT NULL, scope text NOT NULL, claims text NOT NULL,
     generation int8 NOT NULL, secret bytea NOT NULL, parent_salt bytea, parent_key bytea,
     burst_at int8 NOT NULL, burst_generation int8 NOT NULL, prev_burst_generation int8 NOT NULL, rotated_at int8 NOT NULL,
     created_at int8 NOT NULL, auth_time int8 NOT NULL, amr text NOT NULL,
     idle_expires_at int8 NOT NULL, idle_hour int4 NOT NULL, expires_at int8 NOT NULL, jkt text,
     user_agent text, ip text, label text, revoked_at int8, revoked_reason text
   ) WITH (fillfactor = 80)`,
  'CREATE INDEX IF NOT EXISTS daypass_session_subject ON daypass_session (subject)',
  'CREATE INDEX IF NOT EXISTS daypass_session_idle ON daypass_session (idle_hour)',
  'CREATE INDEX IF NOT EXISTS daypass_session_revoked ON daypass_session (revoked_at) WHERE revoked_at IS NOT NULL',
]

const hour = 3_600_000
const columns = [
  'id',
  'subject',
  'client_id',
  'scope',
  'claims',
  'generation',
  'secret',
  'parent_salt',
  'parent_key',
  'burst_at',
  'burst_generation',
  'prev_burst_generation',
  'rotated_at',
  'created_at',
  'auth_time',
  'amr',
  'idle_expires_at',
  'idle_hour',
  'expires_at',
  'jkt',
  'user_agent',
  'ip',
  'label',
  'revoked_at',
  'revoked_reason',
]

/**
 * All refreshes that are in flight together, in one statement. The rows are locked in the order of their ids, so that
 * two instances' statements never wait for one another in a circle; what is checked is checked on the locked row.
 */
const advanceAll = `
  WITH step AS (
    SELECT * FROM unnest($1::uuid[], $2::int8[], $3::text[], $4::text[], $5::int8[], $6::int8[], $7::int8[], $8::text[])
      AS t (id, generation, salt, key, now, idle_expires_at, reuse_interval, ip)
  ), locked AS (
    SELECT s.id, s.generation AS was FROM daypass_session s JOIN step ON step.id = s.id
    WHERE s.generation <= step.generation AND s.revoked_at IS NULL
      AND s.idle_expires_at > step.now AND s.expires_at > step.now
    ORDER BY s.id FOR UPDATE OF s
  )
  UPDATE daypass_session s SET
    generation = step.generation + 1, parent_salt = decode(step.salt, 'hex'), parent_key = decode(step.key, 'hex'),
    idle_expires_at = least(step.idle_expires_at, s.expires_at),
    idle_hour = least(step.idle_expires_at, s.expires_at) / ${hour},
    ip = coalesce(step.ip, s.ip), rotated_at = step.now,
    burst_at = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.burst_at ELSE step.now END,
    burst_generation = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.burst_generation
      ELSE s.generation - 1 END,
    prev_burst_generation = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.prev_burst_generation
      WHEN step.now - s.rotated_at < step.reuse_interval THEN s.burst_generation ELSE s.generation - 1 END
  FROM locked JOIN step ON step.id = locked.id
  WHERE s.id = locked.id
  RETURNING s.*, locked.was < step.generation AS healed`

/**
 * A store in PostgreSQL (`daypass/postgres`). Tables are made and brought up to date by themselves at the first call;
 * they begin with `daypass_`. One round trip a refresh, and refreshes in flight together go in one statement.
 *
 * @param client A `pg` Pool, or what `postgres()` gives; the app closes it. Give `postgres()` `fetch_types: false` (where
 *   its own look at the types meets an engine that is starting up, the error is one that nobody can catch), and behind
 *   PgBouncer in transaction mode `prepare: false`.
 * @returns The store; what the engine refuses is `ERR_STORE_UNAVAILABLE`, `ERR_STORE_READ_ONLY` or `ERR_STORE_FULL`.
 * @example
 * ```ts
 * import { createDaypass } from 'daypass'
 * import { createPostgresStore } from 'daypass/postgres'
 * import pg from 'pg'
 *
 * const store = createPostgresStore(new pg.Pool({ connectionString: process.env.DATABASE_URL }))
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 * ```
 */
export function createPostgresStore(client: PgPool | PostgresJs, options: PostgresStoreOptions = {}): Store {
  const query = createQuery(client, migrations, options.timeout)

  const advances = createGroupCommit<Advance, Advanced | null>(async (steps) => {
    const results: Settled<Advanced | null>[] = []
    // Several refreshes of one session in a batch: the highest goes first, and the others are judged by what it left.
    let waiting = steps.map((step, index) => ({ step, index }))
    while (waiting.length > 0) {
      const first = new Map<string, (typeof waiting)[number]>()
      for (const entry of waiting) {
        const best = first.get(entry.step.id)
        if (best === undefined || entry.step.generation > best.step.generation) first.set(entry.step.id, entry)
      }
      const advanced = await advanceBatch([...first.values()].map(({ step }) => step))
      for (const { step, index } of first.values()) results[index] = { value: advanced.get(step.id) ?? null }
      waiting = waiting.filter(({ step, index }) => {
        if (first.get(step.id)!.index === index) return false
        // The row is past them now; where the first did not match, they are asked by themselves.
        if (!advanced.has(step.id)) return true
        results[index] = { value: null }
        return false
      })
    }
    return results
  })

  async function advanceBatch(steps: Advance[]): Promise<Map<string, Advanced>> {
    const { rows } = await query(advanceAll, [
      steps.map(({ id }) => toUuid(id)),
      steps.map(({ generation }) => generation),
      // As text: one of the drivers takes a list of bytes for the bytes of a list.
      steps.map(({ salt }) => toBuffer(salt).toString('hex')),
      steps.map(({ key }) => key && toBuffer(key).toString('hex')),
      steps.map(({ now }) => now),
      steps.map(({ idleExpiresAt }) => idleExpiresAt),
      steps.map(({ reuseInterval }) => reuseInterval),
      steps.map(({ ip }) => ip ?? null),
    ])
    return new Map(
      rows.map((row) => {
        const session = toSession(row)
        return [session.id, { session, healed: row.healed }]
      }),
    )
  }

  return {
    async open() {},
    async create(session) {
      const values = toValues(session)
      await query(
        `INSERT INTO daypass_session (${columns.join(', ')}) VALUES (${values.map((_, index) => `$${index + 1}`).join(', ')})`,
        values,
      )
    },
    async find(id) {
      const { rows } = await query('SELECT * FROM daypass_session WHERE id = $1', [toUuid(id)])
      return rows[0] === undefined ? null : toSession(rows[0])
    },
    advance: (step) => advances.run(step),
    async revoke(id, now, reason) {
      const { rows } = await query(
        `UPDATE daypass_session SET revoked_at = $2, revoked_reason = $3 WHERE id = $1 AND revoked_at IS NULL
         RETURNING *`,
        [toUuid(id), now, reason],
      )
      return rows[0] === undefined ? null : toSession(rows[0])
    },
    async revokeSubject(subject, now, reason, exceptId) {
      const { rows } = await query(
        `UPDATE daypass_session SET revoked_at = $2, revoked_reason = $3
         WHERE subject = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $4::uuid RETURNING *`,
        [subject, now, reason, exceptId === undefined ? null : toUuid(exceptId)],
      )
      return rows.map(toSession)
    },
    async list(subject, now) {
      const { rows } = await query(
        `SELECT * FROM daypass_session
         WHERE subject = $1 AND revoked_at IS NULL AND idle_expires_at > $2 AND expires_at > $2
         ORDER BY created_at DESC`,
        [subject, now],
      )
      return rows.map(toSession)
    },
    async revokedSince(since) {
      const { rows } = await query('SELECT id, revoked_at FROM daypass_session WHERE revoked_at >= $1', [
        // int8 knows no infinity.
        Math.min(Math.max(0, Math.ceil(since)), Number.MAX_SAFE_INTEGER),
      ])
      return rows.map(({ id, revoked_at }) => ({ id: fromUuid(id), revokedAt: Number(revoked_at) }))
    },
    async prune(before, limit) {
      // Rows that another instance is pruning are passed over, and rows in use are waited for by nobody.
      const deleteWhere = async (condition: string, most: number) => {
        if (most === 0) return 0
        const { count } = await query(
          `DELETE FROM daypass_session WHERE id IN (
             SELECT id FROM daypass_session WHERE ${condition} LIMIT $2 FOR UPDATE SKIP LOCKED)`,
          [before, most],
        )
        return count
      }
      // The hour is what the index knows; the instant decides.
      const expired = await deleteWhere(`idle_hour <= $1::int8 / ${hour} AND idle_expires_at < $1::int8`, limit)
      return expired + (await deleteWhere('revoked_at < $1', limit - expired))
    },
    async check() {
      // A statement that a standby refuses and that changes nothing.
      await query('DELETE FROM daypass_session WHERE id = $1', ['00000000-0000-0000-0000-000000000000'])
    },
    close: () => advances.drain(),
  }
}

const toBuffer = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
/** Null, which equals nothing, for what is no id as `issue` makes them. */
const toUuid = (id: string) => {
  const bytes = Buffer.from(id, 'base64url')
  return bytes.length === 16 && bytes.toString('base64url') === id ? bytes.toString('hex') : null
}
const fromUuid = (uuid: string) => Buffer.from(uuid.replaceAll('-', ''), 'hex').toString('base64url')

function toValues(session: Session): unknown[] {
  const { device } = session
  return [
    toUuid(session.id),
    session.subject,
    session.clientId,
    session.scope,
    JSON.stringify(session.claims),
    session.generation,
    toBuffer(session.secret),
    session.parentSalt && toBuffer(session.parentSalt),
    session.parentKey && toBuffer(session.parentKey),
    session.burstAt,
    session.burstGeneration,
    session.prevBurstGeneration,
    session.rotatedAt,
    session.createdAt,
    session.authTime,
    JSON.stringify(session.amr),
    session.idleExpiresAt,
    Math.floor(session.idleExpiresAt / hour),
    session.expiresAt,
    session.jkt,
    device.userAgent ?? null,
    device.ip ?? null,
    device.label ?? null,
    session.revokedAt,
    session.revokedReason,
  ]
}

function toSession(row: Row): Session {
  return {
    id: fromUuid(row.id),
    subject: row.subject,
    clientId: row.client_id,
    scope: row.scope,
    claims: JSON.parse(row.claims),
    // Both drivers give int8 as text.
    generation: Number(row.generation),
    secret: row.secret,
    parentSalt: row.parent_salt,
    parentKey: row.parent_key,
    burstAt: Number(row.burst_at),
    burstGeneration: Number(row.burst_generation),
    prevBurstGeneration: Number(row.prev_burst_generation),
    rotatedAt: Number(row.rotated_at),
    createdAt: Number(row.created_at),
    authTime: Number(row.auth_time),
    amr: JSON.parse(row.amr),
    idleExpiresAt: Number(row.idle_expires_at),
    expiresAt: Number(row.expires_at),
    jkt: row.jkt,
    device: {
      ...(row.user_agent !== null && { userAgent: row.user_agent }),
      ...(row.ip !== null && { ip: row.ip }),
      ...(row.label !== null && { label: row.label }),
    },
    revokedAt: row.revoked_at === null ? null : Number(row.revoked_at),
    revokedReason: row.revoked_reason as RevokedReason | null,
  }
}
