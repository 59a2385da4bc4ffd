// The server's accounts in Redis.
//
// `daypass:account:{email}`  a hash: the account itself, so that one address is one account in a Cluster too
// `daypass:email:{id}`       the address of an account, by its id
// `daypass:schema:account`   the version of all this

import { type Account, type AccountStore, checkSchema, schemaVersion } from './account-store.ts'
import { withinPatience } from './deadline.ts'

/** Runs a Lua script where its one key lives. Texts in replies are strings or Buffers. */
export type RunScript = (lua: string, key: string, args: readonly string[]) => Promise<unknown>

const create = `
-- The same account again: a client that lost its connection may have sent it twice.
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then return 1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'email', ARGV[2], 'password_hash', ARGV[3], 'created_at', ARGV[4])
return 1`

const read = "return redis.call('HMGET', KEYS[1], 'id', 'email', 'password_hash', 'created_at')"

const setPassword = `
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
local kept = redis.call('HGET', KEYS[1], 'password_hash')
-- The same change again, sent twice like an account.
if kept == ARGV[3] then return 1 end
if kept ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'password_hash', ARGV[3])
return 1`

const openSchema = `
local usable = redis.call('HGET', KEYS[1], 'usable_from')
if usable then return usable end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'usable_from', ARGV[1])
return ARGV[1]`

const get = "return redis.call('GET', KEYS[1])"
const set = "redis.call('SET', KEYS[1], ARGV[1])"
const remove = "redis.call('DEL', KEYS[1])"

/** Accounts beside the sessions of the same Redis. Calls throw `ERR_STORE_…`. */
export function createRedisAccounts(run: RunScript, prefix = 'daypass'): AccountStore {
  const accountKey = (email: string) => `${prefix}:account:{${email}}`
  const emailKey = (id: string) => `${prefix}:email:{${id}}`

  async function readAccount(email: string): Promise<Account | null> {
    const reply = (await run(read, accountKey(email), [])) as unknown[]
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
        const version = String(schemaVersion)
        checkSchema(Number(await run(openSchema, `${prefix}:schema:account`, [version])))
      }),
    create: ({ id, email, passwordHash, createdAt }) =>
      withinPatience(async () => {
        // The way to the account first: where this breaks off in between, it leads to no account, or to another's,
        // which has another id.
        await run(set, emailKey(id), [email])
        if (Number(await run(create, accountKey(email), [id, email, passwordHash, String(createdAt)])) === 1)
          return true
        await run(remove, emailKey(id), [])
        return false
      }),
    findByEmail: (email) => withinPatience(() => readAccount(email)),
    findById: (id) =>
      withinPatience(async () => {
        const email = await emailOf(id)
        const account = email === null ? null : await readAccount(email)
        return account?.id === id ? account : null
      }),
    setPassword: (id, from, to) =>
      withinPatience(async () => {
        const email = await emailOf(id)
        return email !== null && Number(await run(setPassword, accountKey(email), [id, from, to])) === 1
      }),
  }
}
