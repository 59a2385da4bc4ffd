// Opens a store before its first call.

import type { Store } from './store.ts'

/** A store that opens itself. */
export interface SelfOpening extends Store {
  /** Opens the store, unless it is open, and calls `beforeUse`: called before an instant of the store's clock is read. */
  ready(): Promise<void>
}

/**
 * The same store, opened for an issuer before the first call and never again. Where opening fails, that call fails, and
 * the next one tries anew: an engine that is away when the app starts is not away for ever.
 *
 * @param onOpen Called when the store is open, and waited for before the first call.
 * @param beforeUse Called by `ready` on an open store, and waited for where it gives a promise.
 */
export function openFirst(
  store: Store,
  issuer: string,
  onOpen: () => Promise<void>,
  beforeUse: () => Promise<void> | undefined,
): SelfOpening {
  let isOpen = false
  const opened = Promise.resolve()
  let opening: Promise<void> | undefined

  async function openNow(): Promise<void> {
    await store.open(issuer)
    await onOpen()
    isOpen = true
  }

  /** One attempt at a time, however many calls wait for it. */
  function open(): Promise<void> {
    opening ??= openNow().finally(() => {
      opening = undefined
    })
    return opening
  }

  const { now } = store
  return {
    open,
    ready: () => (isOpen ? (beforeUse() ?? opened) : open()),
    create: (session) => (isOpen ? store.create(session) : open().then(() => store.create(session))),
    find: (id) => (isOpen ? store.find(id) : open().then(() => store.find(id))),
    advance: (step) => (isOpen ? store.advance(step) : open().then(() => store.advance(step))),
    revoke: (...given) => (isOpen ? store.revoke(...given) : open().then(() => store.revoke(...given))),
    revokeSubject: (...given) =>
      isOpen ? store.revokeSubject(...given) : open().then(() => store.revokeSubject(...given)),
    list: (...given) => (isOpen ? store.list(...given) : open().then(() => store.list(...given))),
    revokedSince: (since) => (isOpen ? store.revokedSince(since) : open().then(() => store.revokedSince(since))),
    prune: (...given) => (isOpen ? store.prune(...given) : open().then(() => store.prune(...given))),
    check: () => (isOpen ? store.check() : open().then(() => store.check())),
    close: () => store.close(),
    ...(now && { now: () => (isOpen ? now.call(store) : open().then(() => now.call(store))) }),
  }
}
