// The standalone server's accounts and rate limits in Redis.
//
// `prefix:account:{email}`  a hash: the account itself, so that one address is one account in a Cluster too
// `prefix:email:{id}`       where to look for the account of an id
// `prefix:try:{key}`        a hash that is gone when its window ends
// `prefix:schema:account`   the version of all this

import { withDeadline } from '../stores/deadline.ts'
import { asRedisError, connectRedis, defineScript, type RedisClient } from '../stores/redis-client.ts'
import { checkRedisPrefix, openSchema } from '../stores/redis-schema.ts'
import type { Account, AccountStore } from './account-store.ts'

const timeout = 5000

const createScript = defineScript(`
-- The same account again: a client that lost its connection may have sent it twice.
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return 1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'email', ARGV[2], 'password_hash', ARGV[3], 'created_at', ARGV[4])
return 1`)

const readScript = defineScript("return redis.call('HMGET', KEYS[1], 'id', 'email', 'password_hash', 'created_at')")

const setPasswordScript = defineScript(`
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'password_hash', ARGV[2])
return 1`)

const countTryScript = defineScript(`
local now, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local ends = tonumber(redis.call('HGET', KEYS[1], 'until'))
if not ends or ends <= now then
  ends = now + window
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'until', ends)
end
redis.call('PEXPIRE', KEYS[1], math.max(ends - now, 1))
return {redis.call('HINCRBY', KEYS[1], 'tries', 1), ends}`)

const getScript = defineScript("return redis.call('GET', KEYS[1])")
const setScript = defineScript("redis.call('SET', KEYS[1], ARGV[1])")
const deleteScript = defineScript("redis.call('DEL', KEYS[1])")

/** Accounts beside the sessions of `createRedisStore(client, { prefix })`, in either order. Throws `ERR_OPTION_INVALID`. */
export function createRedisAccounts(client: RedisClient, prefix = 'daypass'): AccountStore {
  checkRedisPrefix(prefix)
  const redis = connectRedis(client, timeout)
  const accountKey = (email: string) => `${prefix}:account:{${email}}`
  const emailKey = (id: string) => `${prefix}:email:{${id}}`
  const tryKey = (key: string) => `${prefix}:try:{${key}}`

  async function within<T>(body: () => Promise<T>): Promise<T> {
    try {
      return await withDeadline(body(), timeout)
    } catch (error) {
      throw asRedisError(error)
    }
  }

  async function read(email: string): Promise<Account | null> {
    const [id, found, passwordHash, createdAt] = (await redis.run(
      readScript,
      accountKey(email),
      [],
    )) as (Buffer | null)[]
    if (id === null) return null
    return {
      id: String(id),
      email: String(found),
      passwordHash: String(passwordHash),
      createdAt: Number(String(createdAt)),
    }
  }

  async function emailOf(id: string): Promise<string | null> {
    const email = (await redis.run(getScript, emailKey(id), [])) as Buffer | null
    return email === null ? null : String(email)
  }

  return {
    open: () => within(() => openSchema(redis, prefix, 'account', null)),
    create: ({ id, email, passwordHash, createdAt }) =>
      within(async () => {
        // First where to look, then the account: what breaks off in between leads to no account, or to another's,
        // whose id is another.
        await redis.run(setScript, emailKey(id), [email])
        const args = [id, email, passwordHash, String(createdAt)]
        if (Number(await redis.run(createScript, accountKey(email), args)) === 1) return true
        await redis.run(deleteScript, emailKey(id), [])
        return false
      }),
    findByEmail: (email) => within(() => read(email)),
    findById: (id) =>
      within(async () => {
        const email = await emailOf(id)
        const account = email === null ? null : await read(email)
        return account?.id === id ? account : null
      }),
    setPassword: (id, passwordHash) =>
      within(async () => {
        const email = await emailOf(id)
        if (email !== null) await redis.run(setPasswordScript, accountKey(email), [id, passwordHash])
      }),
    countTry: (key, now, window) =>
      within(async () => {
        const reply = await redis.run(countTryScript, tryKey(key), [String(now), String(window)])
        const [tries, until] = (reply as unknown[]).map(Number) as [number, number]
        return { tries, until }
      }),
    forgetTries: (key) => within(async () => void (await redis.run(deleteScript, tryKey(key), []))),
  }
}
