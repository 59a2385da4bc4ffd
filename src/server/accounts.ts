// Who may sign in at the standalone server? Accounts with a password, that tell a guesser nothing.

import { createHash, randomUUID } from 'node:crypto'
import { isIPv6 } from 'node:net'
import { DaypassError } from '../errors.ts'
import type { SignIn, SignInRequest } from '../http/handler.ts'
import type { Account, AccountStore } from './account-store.ts'
import { checkPassword, hashPassword } from './password.ts'

/** The accounts of the standalone server. Every method may throw `ERR_RATE_LIMITED` and `ERR_OVERLOADED`. */
export interface Accounts {
  /**
   * Makes an account. Where the address has one already this is a sign-in, with the same answer to a wrong password as
   * any: nobody reads from it that the account is there.
   */
  register(credentials: Record<string, unknown>, request: SignInRequest): Promise<SignIn | null>
  authenticate(credentials: Record<string, unknown>, request: SignInRequest): Promise<SignIn | null>
  /**
   * Throws `ERR_REQUEST_INVALID` where `current` is wrong: not a 401, which clients take for an access token that was
   * refused, and ask again.
   */
  changePassword(id: string, body: Record<string, unknown>): Promise<void>
  find(id: string): Promise<Account | null>
}

const minutes = 60_000
/** Tries in a window: so many for an account, so many from an address, so many new accounts from an address. */
const limits = {
  account: { tries: 10, window: 15 * minutes },
  address: { tries: 100, window: 15 * minutes },
  registration: { tries: 20, window: 60 * minutes },
}

export function createAccounts(store: AccountStore, options: { rateLimit: boolean; clock?: () => number }): Accounts {
  const { rateLimit, clock = Date.now } = options

  /** Counted before it is tried: a hundred guesses at once are a hundred. */
  async function count(kind: keyof typeof limits, name: string): Promise<void> {
    if (!rateLimit) return
    const now = clock()
    const { tries, until } = await store.countTry(keyOf(kind, name), now, limits[kind].window)
    if (tries > limits[kind].tries) {
      throw new DaypassError('ERR_RATE_LIMITED', undefined, { retryAfter: (until - now) / 1000 })
    }
  }

  async function check(account: Account | null, name: string, password: string): Promise<boolean> {
    await count('account', name)
    const right = await checkPassword(password, account?.passwordHash ?? null)
    if (right) await store.forgetTries(keyOf('account', name))
    return right
  }

  async function signIn(email: string, password: string): Promise<SignIn | null> {
    const account = await store.findByEmail(email)
    if (!(await check(account, email, password))) return null
    // Checking took its time: where the password was changed meanwhile, this one is the old one.
    const now = await store.findByEmail(email)
    return now?.passwordHash === account?.passwordHash ? toSignIn(account!) : null
  }

  return {
    async register(credentials, { ip }) {
      const { email, password } = readCredentials(credentials)
      checkNewPassword(password)
      await count('address', addressOf(ip))
      if ((await store.findByEmail(email)) === null) {
        await count('registration', addressOf(ip))
        const account = { id: randomUUID(), email, passwordHash: await hashPassword(password), createdAt: clock() }
        if (await store.create(account)) return toSignIn(account)
      }
      return signIn(email, password)
    },
    async authenticate(credentials, { ip }) {
      const { email, password } = readCredentials(credentials)
      await count('address', addressOf(ip))
      return signIn(email, password)
    },
    async changePassword(id, { current, next }) {
      if (typeof current !== 'string' || typeof next !== 'string') {
        throw new DaypassError('ERR_REQUEST_INVALID', 'Send `current` and `next`, both strings.')
      }
      checkNewPassword(next)
      const account = await store.findById(id)
      if (account === null || !(await check(account, account.email, current))) {
        throw new DaypassError('ERR_REQUEST_INVALID', 'The current password is not right.')
      }
      await store.setPassword(id, await hashPassword(next))
    },
    find: (id) => store.findById(id),
  }
}

function toSignIn({ id, email }: Account): SignIn {
  return { subject: id, amr: ['pwd'], user: { id, email } }
}

function readCredentials({ email, password }: Record<string, unknown>): { email: string; password: string } {
  if (typeof email !== 'string' || typeof password !== 'string') {
    throw new DaypassError('ERR_REQUEST_INVALID', 'Send `email` and `password`, both strings.')
  }
  const address = email.trim().toLowerCase()
  // Without control characters and halves of surrogate pairs, which not every engine can hold.
  if (!/^[^\s@\p{Cc}\p{Cs}]+@[^\s@\p{Cc}\p{Cs}]+$/u.test(address) || address.length > 254) {
    throw new DaypassError('ERR_REQUEST_INVALID', 'This is not an e-mail address.')
  }
  if (password.length > 256) throw new DaypassError('ERR_REQUEST_INVALID', 'A password has 256 characters at the most.')
  return { email: address, password }
}

function checkNewPassword(password: string): void {
  if (password.length >= 8 && password.length <= 256) return
  throw new DaypassError('ERR_REQUEST_INVALID', 'A password has 8 to 256 characters.')
}

/** Whoever has one IPv6 address has a network of them. */
function addressOf(ip = 'unknown'): string {
  return isIPv6(ip) ? ip.split(':').slice(0, 4).join(':') : ip
}

/** Hashed, so that the table of tries is no list of who signs in here. */
function keyOf(kind: string, name: string): string {
  return `${kind}:${createHash('sha256').update(name).digest('base64url').slice(0, 22)}`
}
