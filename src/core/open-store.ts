// Opens a store before its first use.

import type { Store } from './store.ts'

/** A store that opens itself. */
export interface SelfOpening extends Store {
  /** Opens the store unless it is open, and calls `beforeUse`. Callers must await it before they read the store's clock. */
  ready(): Promise<void>
}

/**
 * Returns the same store, opened for an issuer once, before the first call. If opening fails, that call fails and the next
 * one tries again, so that an engine which is unavailable at the start of the app can be used later.
 *
 * @param onOpen Called and awaited once the store is open, before the first call.
 * @param beforeUse Called by `ready` on an open store, and awaited if it returns a promise.
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

  /** All calls that wait share one attempt. */
  function open(): Promise<void> {
    opening ??= openNow().finally(() => {
      opening = undefined
    })
    return opening
  }

  const { readClock } = store
  return {
    open,
    ready: () => (isOpen ? (beforeUse() ?? opened) : open()),
    create: (session) => (isOpen ? store.create(session) : open().then(() => store.create(session))),
    find: (id) => (isOpen ? store.find(id) : open().then(() => store.find(id))),
    advance: (step) => (isOpen ? store.advance(step) : open().then(() => store.advance(step))),
    update: (...given) => (isOpen ? store.update(...given) : open().then(() => store.update(...given))),
    revoke: (...given) => (isOpen ? store.revoke(...given) : open().then(() => store.revoke(...given))),
    revokeSubject: (...given) =>
      isOpen ? store.revokeSubject(...given) : open().then(() => store.revokeSubject(...given)),
    list: (...given) => (isOpen ? store.list(...given) : open().then(() => store.list(...given))),
    revokedSince: (since) => (isOpen ? store.revokedSince(since) : open().then(() => store.revokedSince(since))),
    prune: (...given) => (isOpen ? store.prune(...given) : open().then(() => store.prune(...given))),
    check: () => (isOpen ? store.check() : open().then(() => store.check())),
    close: () => store.close(),
    ...(readClock && { readClock: () => (isOpen ? readClock.call(store) : open().then(() => readClock.call(store))) }),
  }
}
