// Where do the standalone server's accounts and rate limits live? Beside the sessions, in tables of their own.

/** A person who can sign in at the standalone server. */
export interface Account {
  /** The subject of their tokens. */
  id: string
  /** Lower case. */
  email: string
  passwordHash: string
  createdAt: number
}

/** What the accounts need of an engine. Each call is atomic. */
export interface AccountStore {
  /**
   * Called before any other call, and again where it failed: makes the tables and indexes. Many instances may call it at
   * once.
   *
   * @throws DaypassError `ERR_STORE_SCHEMA` where a newer version made what is there; then nothing was written.
   */
  open(): Promise<void>
  /** False where the e-mail address has an account already. */
  create(account: Account): Promise<boolean>
  findByEmail(email: string): Promise<Account | null>
  findById(id: string): Promise<Account | null>
  setPassword(id: string, passwordHash: string): Promise<void>
  /** Counts one try under a key; how many there were in its window, this one included, and when the window ends. */
  countTry(key: string, now: number, window: number): Promise<{ tries: number; until: number }>
  /** Forgets the tries under a key. */
  forgetTries(key: string): Promise<void>
}

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
    setPassword: (id, passwordHash) => open().then(() => store.setPassword(id, passwordHash)),
    countTry: (key, now, window) => open().then(() => store.countTry(key, now, window)),
    forgetTries: (key) => open().then(() => store.forgetTries(key)),
  }
}
