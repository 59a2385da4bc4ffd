// The schema record of Redis: which version and which issuer the keys under a prefix belong to.
//
// `prefix:schema:session`  a hash: `version`, `usable_from` (the oldest version that may still use it), `issuer`

import { Buffer } from 'node:buffer'
import { DaypassError } from '../errors.ts'
import { wrongOption } from '../option.ts'
import { defineScript, keyTaken, type Redis } from './redis-client.ts'
import { checkSchema, schemaKey, schemaVersion } from './schema-record.ts'

/** Writes the record if there is none, and returns the stored one. */
const openScript = defineScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'usable_from', ARGV[1], 'issuer', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'version', 'usable_from', 'issuer')`)

const echoScript = defineScript(`return {ARGV[1], 7, false, {}, redis.status_reply('OK')}`)

/** All bytes. A client that changes texts changes some of them. */
const allBytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

/**
 * Claims the keys under a prefix for an issuer. A rejected claim writes nothing.
 *
 * @param issuer The issuer that opens the store.
 * @throws DaypassError `ERR_STORE_SCHEMA`, `ERR_STORE_ISSUER`; `ERR_OPTION_INVALID` where the client changes what is sent
 *   or answered, and where the key is in use for something else.
 */
export async function openSchema(redis: Redis, prefix: string, issuer: string): Promise<void> {
  const key = `${prefix}:schema:${schemaKey}`
  if (!isTrueEcho(await redis.run(echoScript, key, [allBytes]))) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      'The Redis client changes arguments or replies of EVALSHA. Give one that does not ' +
        '(ioredis: no Command.setArgumentTransformer or setReplyTransformer for it).',
    )
  }
  const found = (await redis.run(openScript, key, [String(schemaVersion), issuer])) as (Buffer | null)[]
  const [version, usableFrom, owner] = found.map((text) => (text === null ? null : String(text)))
  // The hash is not Daypass's.
  if (version === null || usableFrom === null) throw keyTaken(key)
  checkSchema({ version: Number(version), usableFrom: Number(usableFrom), issuer: owner ?? null }, issuer)
}

function isTrueEcho(reply: unknown): boolean {
  if (!Array.isArray(reply)) return false
  const [bytes, number, nothing, list, status] = reply
  return (
    Buffer.isBuffer(bytes) &&
    bytes.equals(allBytes) &&
    Number(number) === 7 &&
    nothing === null &&
    Array.isArray(list) &&
    String(status) === 'OK'
  )
}

/**
 * A prefix without braces keeps the keys of different prefixes apart. In a Cluster, braces choose the slot of a key.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function checkRedisPrefix(prefix: unknown): void {
  if (typeof prefix === 'string' && /^[^{}]+$/.test(prefix)) return
  throw wrongOption('prefix', prefix, "Give 1 or more characters without { and }, such as 'daypass'.")
}
