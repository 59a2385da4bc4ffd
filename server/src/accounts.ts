// Accounts with a password. No response tells a stranger which addresses have one.

import { randomUUID } from 'node:crypto'
import { DaypassError } from 'daypass'
import type { Account, AccountStore } from './account-store.ts'
import type { Device } from './devices.ts'
import type { Counter, Limits } from './limits.ts'
import { networkOf } from './network.ts'
import { checkPassword, hashPassword } from './password.ts'

/** The sender of credentials. */
export interface Caller {
  ip: string
  /** The browser, where it has signed in to this address before. */
  findDevices(email: string): Device[]
}

/** The accounts of this server. Every method may throw `ERR_STORE_…`, and those that check a password `ERR_RATE_LIMITED` and `ERR_OVERLOADED`. */
export interface Accounts {
  /**
   * Makes an account. For an address that has one already this is a sign-in, with a sign-in's response to a wrong
   * password, which is null.
   */
  register(credentials: Record<string, unknown>, caller: Caller): Promise<Account | null>
  /** The account that the credentials belong to, or null. */
  signIn(credentials: Record<string, unknown>, caller: Caller): Promise<Account | null>
  /**
   * Sets a new password. The caller ends the other sessions afterwards. A request that broke off in between may be
   * repeated as it was: a password that is the next one already counts as done. Returns the account as it is then.
   *
   * @throws DaypassError `ERR_REQUEST_INVALID` where `current` is wrong. Not a 401: clients take one for a rejected access
   *   token, and repeat the request.
   */
  changePassword(id: string, body: Record<string, unknown>, sessionId: string): Promise<Account>
  /** Whether the account still has this password. */
  isCurrent(id: string, passwordHash: string): Promise<boolean>
  find(id: string): Promise<Account | null>
}

export function createAccounts(store: AccountStore, limits: Limits): Accounts {
  /** Null for a wrong password. */
  async function check(account: Account | null, password: string): Promise<Account | null> {
    return (await checkPassword(password, account?.passwordHash ?? null)) ? account : null
  }

  /**
   * The counters that a try counts in. A browser has one of its own while the account has the password that it signed in
   * with: so nobody who knew an older one can guess with many cookies.
   */
  async function countersOf(email: string, { ip, findDevices }: Caller): Promise<Counter[]> {
    const devices = findDevices(email)
    // Only for a browser that has signed in to this address: a stranger cannot tell by the time which addresses are taken.
    const account = devices.length > 0 ? await store.findByEmail(email) : null
    const known = devices.find((device) => account !== null && device.knew(account.passwordHash))
    if (known !== undefined) return [['device', known.id]]
    const network = networkOf(ip)
    return [
      ['network', network],
      ['pair', `${network} ${email}`],
      ['account', email],
    ]
  }

  return {
    async register(credentials, caller) {
      const { email, password } = readCredentials(credentials)
      checkNewPassword(password)
      await store.open()
      // Counted before it is known whether the address has an account, like all that limits a sign-in.
      await limits.countRegistration(networkOf(caller.ip))
      return limits.attempt(await countersOf(email, caller), async () => {
        const found = await store.findByEmail(email)
        if (found !== null) return check(found, password)
        const account = { id: randomUUID(), email, passwordHash: await hashPassword(password), createdAt: Date.now() }
        if (await store.create(account)) return account
        // Another request made it at this moment.
        return check(await store.findByEmail(email), password)
      })
    },
    async signIn(credentials, caller) {
      const { email, password } = readCredentials(credentials)
      await store.open()
      return limits.attempt(await countersOf(email, caller), async () =>
        check(await store.findByEmail(email), password),
      )
    },
    async changePassword(id, { current, next }, sessionId) {
      if (typeof current !== 'string' || typeof next !== 'string') {
        throw new DaypassError('ERR_REQUEST_INVALID', 'Send `current` and `next`, both strings.')
      }
      checkLength(current)
      checkNewPassword(next)
      await store.open()
      // Twice: a wrong try compares two passwords with the stored one.
      const counters: Counter[] = [
        ['session', sessionId],
        ['session', sessionId],
      ]
      const changed = await limits.attempt(counters, async () => {
        const account = await store.findById(id)
        if (account === null) return null
        if (!(await check(account, current))) return check(account, next)
        const passwordHash = await hashPassword(next)
        return (await store.setPassword(id, account.passwordHash, passwordHash)) ? { ...account, passwordHash } : null
      })
      if (changed === null) throw new DaypassError('ERR_REQUEST_INVALID', 'The current password is not right.')
      return changed
    },
    isCurrent: async (id, passwordHash) => (await store.findById(id))?.passwordHash === passwordHash,
    find: (id) => store.findById(id),
  }
}

function readCredentials({ email, password }: Record<string, unknown>): { email: string; password: string } {
  if (typeof email !== 'string' || typeof password !== 'string') {
    throw new DaypassError('ERR_REQUEST_INVALID', 'Send `email` and `password`, both strings.')
  }
  const address = email.trim().toLowerCase()
  if (!/^[^\s@\p{C}]+@[^\s@\p{C}]+$/u.test(address) || address.length > 254) {
    throw new DaypassError('ERR_REQUEST_INVALID', 'This is not an e-mail address.')
  }
  checkLength(password)
  return { email: address, password }
}

function checkLength(password: string): void {
  if (password.length > 256) throw new DaypassError('ERR_REQUEST_INVALID', 'A password has 256 characters at the most.')
}

function checkNewPassword(password: string): void {
  if (password.length >= 8 && password.length <= 256) return
  throw new DaypassError('ERR_REQUEST_INVALID', 'A password has 8 to 256 characters.')
}
