// The SQL of the PostgreSQL store.
//
// Each parameter is text and each row of a result is one JSON text, so nothing depends on how the driver is set up.
// A statement that changes rows returns the engine's clock first (`gate`) and does nothing after its deadline. It never
// waits for a row: it returns the rows that another transaction has locked as `busy` (SKIP LOCKED). So there are no
// deadlocks, and no connection is held while a refresh waits.

import { announceEvery, columns, hour, type Kind } from './row.ts'
import { schemaKey, schemaVersion } from './schema-record.ts'

const types: Record<Kind, string> = {
  id: 'uuid',
  text: 'text',
  json: 'text',
  flag: 'bool',
  integer: 'int8',
  instant: 'int8',
  bytes: 'bytea',
}

/** The columns of a session, and two that only this engine has. */
const table = [
  ...columns.map(({ name, kind, isNullable }) => ({ name, type: types[kind], isNullable })),
  // The column that pruning reads. It changes once an hour at most, so nearly every refresh changes no index (HOT).
  { name: 'idle_hour', type: 'int4', isNullable: false },
  // When `revokedSince` last announced the end: `revoked_at`, or when the session was ended again.
  { name: 'announced_at', type: 'int8', isNullable: true },
]

const names = table.map(({ name }) => name)

/** The row of `s` as JSON. */
const row = `json_build_object(${columns
  .map(({ name, kind }) => `'${name}', ${kind === 'bytes' ? `encode(s.${name}, 'hex')` : `s.${name}`}`)
  .join(', ')})`

const engineNow = '(extract(epoch FROM clock_timestamp()) * 1000)::int8'

/** The statements on the tables of one prefix. */
export function createSql(prefix: string) {
  const session = `${prefix}_session`
  /** The engine's clock, read after any wait for the table. No row means that a newer version owns the tables. */
  const gate = `gate AS MATERIALIZED (
    SELECT ${engineNow} AS now FROM ${prefix}_schema
    WHERE module = '${schemaKey}' AND usable_from <= ${schemaVersion})`
  const answer = `SELECT json_build_object('now', now)::text FROM gate`

  const isLive = (now: string) => `s.revoked_at IS NULL AND s.idle_expires_at > ${now} AND s.expires_at > ${now}`
  const isDue = `s.generation <= step.generation AND ${isLive('step.now')}`

  const idleEnd = 'least(step.now + coalesce(s.idle_timeout, step.idle_timeout), s.expires_at)'

  /** `$1` the deadline, `$2` whose, `$3` the instant, `$4` the reason. */
  const end = (which: string) => {
    const due = `${which} AND gate.now <= $1::text::int8
      AND (s.revoked_at IS NULL OR s.announced_at < $3::text::int8 - ${announceEvery})`
    return `
      WITH ${gate}, due AS MATERIALIZED (
        SELECT s.id FROM ${session} s, gate WHERE ${due}
      ), locked AS MATERIALIZED (
        SELECT s.id, s.revoked_at IS NULL AS is_live FROM ${session} s, gate WHERE ${due} FOR UPDATE OF s SKIP LOCKED
      ), ended AS (
        UPDATE ${session} s SET
          revoked_at = coalesce(s.revoked_at, $3::text::int8), revoked_reason = coalesce(s.revoked_reason, $4::text),
          announced_at = greatest(s.announced_at, $3::text::int8)
        FROM locked WHERE s.id = locked.id
        RETURNING s.id, locked.is_live, ${row} AS row
      )
      ${answer}
      UNION ALL SELECT json_build_object('row', row)::text FROM ended WHERE is_live
      UNION ALL SELECT json_build_object('busy', id)::text FROM due WHERE id NOT IN (SELECT id FROM ended)`
  }

  /** `$1` the instant, `$2` how many at most. Rows that another transaction has locked are skipped. */
  const prune = (condition: string) => `
    WITH ${gate}, gone AS (
      DELETE FROM ${session} WHERE id IN (
        SELECT s.id FROM ${session} s, gate WHERE ${condition} LIMIT $2::text::int8 FOR UPDATE OF s SKIP LOCKED)
      RETURNING 1
    )
    SELECT json_build_object('now', now, 'gone', (SELECT count(*) FROM gone))::text FROM gate`

  return {
    tables: [
      `CREATE TABLE IF NOT EXISTS ${session} (
        ${table.map(({ name, type, isNullable }) => `${name} ${type}${isNullable ? '' : ' NOT NULL'},`).join(' ')}
        PRIMARY KEY (id)
      ) WITH (fillfactor = 80)`,
      `CREATE INDEX IF NOT EXISTS ${session}_subject ON ${session} (subject)`,
      `CREATE INDEX IF NOT EXISTS ${session}_idle ON ${session} (idle_hour)`,
      `CREATE INDEX IF NOT EXISTS ${session}_revoked ON ${session} (revoked_at) WHERE revoked_at IS NOT NULL`,
      `CREATE INDEX IF NOT EXISTS ${session}_announced ON ${session} (announced_at) WHERE announced_at IS NOT NULL`,
    ],

    /** `$1` the deadline, `$2` the row as JSON. */
    create: `
      WITH ${gate}, added AS (
        INSERT INTO ${session} (${names.join(', ')})
        SELECT ${names.map((name) => `r.${name}`).join(', ')} FROM gate, json_to_record($2::text::json) AS r (
          ${table.map(({ name, type }) => `${name} ${type}`).join(', ')})
        WHERE gate.now <= $1::text::int8
      )
      ${answer}`,

    find: `SELECT ${row}::text FROM ${session} s WHERE s.id = $1::text::uuid`,

    /** All refreshes that are in flight together; what is checked is checked on the locked row. `$1` a list as JSON. */
    advance: `
      WITH ${gate}, step AS MATERIALIZED (
        SELECT r.* FROM gate, json_to_recordset($1::text::json) AS r (
          id uuid, generation int8, salt bytea, key bytea, now int8, idle_timeout int8, reuse_interval int8, ip text,
          deadline int8)
        WHERE gate.now <= r.deadline
      ), due AS MATERIALIZED (
        SELECT s.id FROM ${session} s JOIN step ON step.id = s.id WHERE ${isDue}
      ), locked AS MATERIALIZED (
        SELECT s.id, s.generation AS was FROM ${session} s JOIN step ON step.id = s.id WHERE ${isDue}
        FOR UPDATE OF s SKIP LOCKED
      ), advanced AS (
        UPDATE ${session} s SET
          generation = step.generation + 1, parent_salt = step.salt, parent_key = step.key,
          idle_expires_at = ${idleEnd}, idle_hour = ${idleEnd} / ${hour},
          ip = coalesce(step.ip, s.ip), rotated_at = step.now,
          burst_at = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.burst_at ELSE step.now END,
          burst_generation = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.burst_generation
            ELSE s.generation - 1 END,
          prev_burst_generation = CASE WHEN step.now - s.burst_at < step.reuse_interval THEN s.prev_burst_generation
            WHEN step.now - s.rotated_at < step.reuse_interval THEN s.burst_generation ELSE s.generation - 1 END
        FROM locked JOIN step ON step.id = locked.id
        WHERE s.id = locked.id
        RETURNING s.id, locked.was < step.generation AS healed, ${row} AS row
      )
      ${answer}
      UNION ALL SELECT json_build_object('row', row, 'healed', healed)::text FROM advanced
      UNION ALL SELECT json_build_object('busy', id)::text FROM due WHERE id NOT IN (SELECT id FROM advanced)`,

    /** `$1` the deadline, `$2` which, `$3` the instant, and then the values of the columns that change. */
    update(changed: readonly string[]) {
      const due = `s.id = $2::text::uuid AND gate.now <= $1::text::int8 AND ${isLive('$3::text::int8')}`
      const values = table
        .filter(({ name }) => changed.includes(name))
        .map(({ name, type }) => `${name} = $${4 + changed.indexOf(name)}::text::${type}`)
      return `
        WITH ${gate}, due AS MATERIALIZED (
          SELECT s.id FROM ${session} s, gate WHERE ${due}
        ), locked AS MATERIALIZED (
          SELECT s.id FROM ${session} s, gate WHERE ${due} FOR UPDATE OF s SKIP LOCKED
        ), updated AS (
          UPDATE ${session} s SET ${values.join(', ')} FROM locked WHERE s.id = locked.id RETURNING s.id, ${row} AS row
        )
        ${answer}
        UNION ALL SELECT json_build_object('row', row)::text FROM updated
        UNION ALL SELECT json_build_object('busy', id)::text FROM due WHERE id NOT IN (SELECT id FROM updated)`
    },

    revoke: end('s.id = $2::text::uuid'),
    revokeSubject: end('s.subject = $2::text AND s.id IS DISTINCT FROM $5::text::uuid'),

    list: `
      SELECT ${row}::text FROM ${session} s
      WHERE s.subject = $1::text AND ${isLive('$2::text::int8')}
      ORDER BY s.created_at DESC LIMIT $3::text::int8`,

    revokedSince: `
      SELECT json_build_object('id', id, 'revoked_at', revoked_at)::text FROM ${session}
      WHERE announced_at >= $1::text::int8`,

    // The hour is what the index knows; the instant decides.
    pruneExpired: prune(`s.idle_hour <= $1::text::int8 / ${hour} AND s.idle_expires_at < $1::text::int8`),
    pruneRevoked: prune('s.revoked_at < $1::text::int8'),

    // A write, for a server that is full or became a replica. Where the row is locked, another instance is writing it.
    check: `
      UPDATE ${prefix}_schema SET checked_at = clock_timestamp() WHERE module IN (
        SELECT module FROM ${prefix}_schema WHERE module = '${schemaKey}' FOR UPDATE SKIP LOCKED)`,

    now: `SELECT ${engineNow}::text`,
  }
}
