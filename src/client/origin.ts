// Where does a URL lead, to the letter?

import { maybe } from './wait.ts'

/** The whole URL, resolved as the page resolves it; undefined for what is none (a relative one where there is no page). */
export const hrefOf = (url: string | URL) =>
  maybe(
    () =>
      new URL(
        url,
        maybe(() => document.baseURI),
      ).href,
  )

/**
 * The origin (scheme, host and port) that a request to `url` would go to. What is no URL is like nothing, not even like
 * itself. Not `URL.origin`, which calls a blob: URL its page's, and all odd schemes the same, but what is before the third
 * slash.
 */
export const originOf = (url: string | URL): string | object => hrefOf(url)?.split('/', 3).join() ?? {}
