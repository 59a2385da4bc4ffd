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
 * What the accounts need of a database. Each call is atomic and throws `ERR_STORE_…`: `ERR_STORE_SCHEMA` where a newer
 * version has changed the tables while this one runs, and then it writes nothing.
 */
export interface AccountStore {
  /**
   * Makes the tables and indexes. Called before any other call, and again where it failed. Many instances may call it at
   * once.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA` where a newer version made what is there, and `ERR_OPTION_INVALID` where a
   *   table of that name belongs to an app. Nothing was written then.
   */
  open(): Promise<void>
  /** False where the e-mail address has an account already. */
  create(account: Account): Promise<boolean>
  findByEmail(email: string): Promise<Account | null>
  findById(id: string): Promise<Account | null>
  /** Replaces one password hash by another. False where the account has a different one by now. */
  setPassword(id: string, from: string, to: string): Promise<boolean>
}

/** The version of the accounts' tables that this program makes, and the newest that it can use. */
export const schemaVersion = 1

/** Throws `ERR_STORE_SCHEMA` where the tables need a newer program than this one. */
export function checkSchema(usableFrom: unknown): void {
  // Negated, so that a version that cannot be read is refused too.
  if (!(Number(usableFrom ?? Number.NaN) <= schemaVersion)) throw new DaypassError('ERR_STORE_SCHEMA')
}

/** The error for a name that is in use where no record says that this server made it. */
export const nameTaken = (name: string): DaypassError =>
  new DaypassError(
    'ERR_OPTION_INVALID',
    `The database of DAYPASS_STORE has a \`${name}\` that Daypass did not make. Give the server a database of its own.`,
  )

/** The same accounts, opened before their first call. Where opening fails, that call fails and the next one tries again. */
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
