// The server's accounts in Redis.
//
// `daypass:account:{email}`  a hash: the account itself, so that one address is one account in a Cluster too
// `daypass:email:{id}`       the address of an account, by its id
// `daypass:schema:account`   the version of all this

import { type Account, type AccountStore, checkSchema, nameTaken, schemaVersion } from './account-store.ts'
import { withinPatience } from './deadline.ts'

/** Runs a Lua script where its one key lives. Texts in replies are strings or Buffers. */
export type RunScript = (lua: string, key: string, args: readonly string[]) => Promise<unknown>

const create = `
-- The same account again: a client that lost its connection may have sent it twice.
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return 1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'email', ARGV[2], 'password_hash', ARGV[3], 'created_at', ARGV[4])
return 1`

const readFields = "return redis.call('HMGET', KEYS[1], 'id', 'email', 'password_hash', 'created_at')"

const setPassword = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
local kept = redis.call('HGET', KEYS[1], 'password_hash')
-- The same change again, sent twice like an account.
if kept == ARGV[3] then return 1 end
if kept ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'password_hash', ARGV[3])
return 1`

const openSchema = `
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'version', ARGV[1], 'usable_from', ARGV[1])
end
return redis.call('HGET', KEYS[1], 'usable_from')`

const readSchema = "return redis.call('HGET', KEYS[1], 'usable_from')"

const get = "return redis.call('GET', KEYS[1])"
const set = "redis.call('SET', KEYS[1], ARGV[1])"
const remove = "redis.call('DEL', KEYS[1])"

/** Accounts beside the sessions of the same Redis. Calls throw `ERR_STORE_…`. */
export function createRedisAccounts(runScript: RunScript, prefix = 'daypass'): AccountStore {
  const schemaKey = `${prefix}:schema:account`
  const accountKey = (email: string) => `${prefix}:account:{${email}}`
  const emailKey = (id: string) => `${prefix}:email:{${id}}`

  async function run(lua: string, key: string, args: readonly string[]): Promise<unknown> {
    try {
      return await runScript(lua, key, args)
    } catch (error) {
      // Up to Redis 6 the script's own error is in the middle of the text.
      throw /\bWRONGTYPE\b/.test((error as Error)?.message) ? nameTaken(key) : error
    }
  }

  /** Before a write, and after a read: keys that are usable now were usable when they were read. */
  const checkUsable = async () => checkSchema(await run(readSchema, schemaKey, []))

  const write = <T>(body: () => Promise<T>) => withinPatience(() => checkUsable().then(body))
  const read = <T>(body: () => Promise<T>) =>
    withinPatience(async () => {
      const result = await body()
      await checkUsable()
      return result
    })

  async function readAccount(email: string): Promise<Account | null> {
    const reply = (await run(readFields, accountKey(email), [])) as unknown[]
    if (reply[0] === null) return null
    const [id, found, passwordHash, createdAt] = reply.map(String) as [string, string, string, string]
    return { id, email: found, passwordHash, createdAt: Number(createdAt) }
  }

  async function emailOf(id: string): Promise<string | null> {
    const email = await run(get, emailKey(id), [])
    return email === null ? null : String(email)
  }

  return {
    open: () =>
      withinPatience(async () => {
        const usableFrom = await run(openSchema, schemaKey, [String(schemaVersion)])
        // A hash of the app's.
        if (usableFrom === null) throw nameTaken(schemaKey)
        checkSchema(usableFrom)
      }),
    create: ({ id, email, passwordHash, createdAt }) =>
      write(async () => {
        // The email key first. Where this breaks off in between, it leads to no account, or to one with another id.
        await run(set, emailKey(id), [email])
        if (Number(await run(create, accountKey(email), [id, email, passwordHash, String(createdAt)])) === 1)
          return true
        await run(remove, emailKey(id), [])
        return false
      }),
    findByEmail: (email) => read(() => readAccount(email)),
    findById: (id) =>
      read(async () => {
        const email = await emailOf(id)
        const account = email === null ? null : await readAccount(email)
        return account?.id === id ? account : null
      }),
    setPassword: (id, from, to) =>
      write(async () => {
        const email = await emailOf(id)
        return email !== null && Number(await run(setPassword, accountKey(email), [id, from, to])) === 1
      }),
  }
}
