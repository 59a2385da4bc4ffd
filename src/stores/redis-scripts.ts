// The Lua scripts of the Redis store. Each of them runs in one step where its key lives.

import { defineScript } from './redis-client.ts'
import { packRow, refuseNewer, unpackRow } from './redis-row.ts'

/** One command where its key lives. In a script, because clients may send a plain read to a replica, which is behind. */
export const callScript = defineScript('return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))')

const readClock = `
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)`

/** The clock where a key lives. */
export const clockScript = defineScript(`${readClock} return clock`)

/** The key in the engine, which may begin with the client's own prefix. */
export const keyScript = defineScript('return KEYS[1]')

/** Rejects commands that arrive after their deadline: the caller already got 503 and retried. */
const refuseLate = `${readClock}
if clock > tonumber(ARGV[1]) then return {'late', clock} end`

/** Adds an index entry. Returns a few entries that are so old that the engine should have expired their rows. */
export const indexScript = defineScript(`${refuseLate}
local member, createdAt, expiresAt, retention = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZADD', KEYS[1], expiresAt, member)
local ttl = expiresAt - createdAt + retention
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ttl) end
return {'done', redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', createdAt - retention, 'LIMIT', 0, 10)}`)

/** Writes a row. A client that lost its connection may send it twice. Then the same row exists already. */
export const createScript = defineScript(`${refuseLate}
local present = redis.call('GET', KEYS[1])
if present then return {present == ARGV[2] and 'done' or 'taken'} end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return {'done'}`)

// The `advance` of core/rotation.ts, run on the row in the engine.
export const advanceScript = defineScript(`${refuseLate}
local asked, now, reuseInterval = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${refuseNewer}
${unpackRow}
if generation > asked or revoked_at > 0 or now >= expires_at or now >= idle_expires_at then return {'none'} end
local outcome = generation < asked and 'healed' or 'done'
if now - burst_at >= reuseInterval then
  prev_burst_generation = now - rotated_at < reuseInterval and burst_generation or generation - 1
  burst_at, burst_generation = now, generation - 1
end
rotated_at = now
generation, idle_expires_at = asked + 1, math.min(now + (idle_timeout > 0 and idle_timeout or tonumber(ARGV[4])), expires_at)
parent_salt, parent_key = ARGV[7], ARGV[8]
if ARGV[9] ~= '' then ip = ARGV[9] end
${packRow}
redis.call('SET', KEYS[1], row, 'PX', math.max(idle_expires_at - now, 0) + tonumber(ARGV[6]))
return {outcome, row}`)

/**
 * Replaces the texts of a row, and the instant of the sign-in where one is given. The texts that the caller has read must
 * be there still, so that no other change is lost.
 */
export const updateScript = defineScript(`${refuseLate}
local now = tonumber(ARGV[2])
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${refuseNewer}
${unpackRow}
if revoked_at > 0 or now >= expires_at or now >= idle_expires_at then return {'none'} end
if string.sub(row, rest) ~= ARGV[3] then return {'changed', row} end
row = string.sub(row, 1, rest - 1) .. ARGV[4]
auth_time = tonumber(ARGV[5]) or auth_time
${packRow}
redis.call('SET', KEYS[1], row, 'KEEPTTL')
return {'done', row}`)

export const revokeScript = defineScript(`${refuseLate}
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${refuseNewer}
${unpackRow}
if revoked_at > 0 then return {'none', row} end
revoked_at, revoked_reason = tonumber(ARGV[2]), ARGV[3]
${packRow}
redis.call('SET', KEYS[1], row, 'PX', ARGV[4])
return {'done', row}`)

/**
 * Announces what is over (ARGV[2] pairs of instant and id) where it was not announced before, and takes back what was
 * said to be under way. Not late: the other instances look back a few seconds only.
 */
export const announceScript = defineScript(`${refuseLate}
local last = 2 + 2 * ARGV[2]
if last > 2 then redis.call('ZADD', KEYS[1], 'NX', unpack(ARGV, 3, last)) end
if #ARGV > last then redis.call('ZREM', KEYS[1], unpack(ARGV, last + 1)) end
return {'done'}`)

/** A row that a newer version wrote stays: that version prunes it. */
export const pruneScript = defineScript(`
local before = tonumber(ARGV[1])
local row = redis.call('GET', KEYS[1])
if not row then return {'none'} end
${refuseNewer}
${unpackRow}
if math.min(idle_expires_at, expires_at) >= before and (revoked_at == 0 or revoked_at >= before) then return {'none'} end
redis.call('DEL', KEYS[1])
return {'done'}`)
