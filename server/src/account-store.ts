// The contract of the server's accounts in a database.

import { DaypassError } from 'daypass'

/** A person who can sign in at this server. */
export interface Account {
  /** The subject of their tokens. */
  id: string
  /** Lower case. */
  email: string
  passwordHash: string
  /** Epoch milliseconds. */
  createdAt: number
}

/**
 * The database contract of the accounts. Each call is atomic and throws `ERR_STORE_…`. If a newer version has changed the
 * tables while this one runs, it throws `ERR_STORE_SCHEMA` and writes nothing.
 */
export interface AccountStore {
  /**
   * Makes the tables and indexes. Called before any other call, and again after a failure. Many instances may call it at
   * once.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA` if a newer version made the tables, and `ERR_OPTION_INVALID` if a
   *   table of that name belongs to an app. Nothing was written then.
   */
  open(): Promise<void>
  /** False if the e-mail address has an account already. */
  create(account: Account): Promise<boolean>
  findByEmail(email: string): Promise<Account | null>
  findById(id: string): Promise<Account | null>
  /** Replaces one password hash by another. False if the account has a different one by now. */
  setPassword(id: string, from: string, to: string): Promise<boolean>
}

/** The version of the accounts' tables that this program makes, and the newest that it can use. */
export const schemaVersion = 1

/** Throws `ERR_STORE_SCHEMA` where the tables need a newer program than this one. */
export function checkSchema(usableFrom: unknown): void {
  // Negated, so that an unreadable version is rejected too.
  if (!(Number(usableFrom ?? Number.NaN) <= schemaVersion)) throw new DaypassError('ERR_STORE_SCHEMA')
}

/** The error for a name that is in use, without a record that this server made it. */
export const nameTaken = (name: string): DaypassError =>
  new DaypassError(
    'ERR_OPTION_INVALID',
    `The database of DAYPASS_STORE has a \`${name}\` that Daypass did not make. Give the server a database of its own.`,
  )

/** The same accounts, opened before their first call. If opening fails, that call fails and the next one tries again. */
export function openAccountsFirst(store: AccountStore): AccountStore {
  let isOpen = false
  let opening: Promise<void> | undefined

  async function openNow(): Promise<void> {
    await store.open()
    isOpen = true
  }

  /** One attempt at a time, however many calls wait for it. */
  async function open(): Promise<void> {
    if (isOpen) return
    opening ??= openNow().finally(() => {
      opening = undefined
    })
    return opening
  }

  return {
    open,
    create: (account) => open().then(() => store.create(account)),
    findByEmail: (email) => open().then(() => store.findByEmail(email)),
    findById: (id) => open().then(() => store.findById(id)),
    setPassword: (id, from, to) => open().then(() => store.setPassword(id, from, to)),
  }
}
