// Compares URLs by their origin.

import { maybe } from './wait.ts'

/** The address that fetch resolves relative URLs by: the page's, or the worker's own. */
const here = () => maybe(() => document.baseURI) ?? maybe(() => location.href)

/** The absolute URL, by default as fetch resolves it. Undefined if it is invalid, or relative outside pages and workers. */
export const hrefOf = (url: string | URL, base: string | undefined = here()) => maybe(() => new URL(url, base).href)

/**
 * The origin (scheme, host and port) that a request to `url` would go to: everything before the third slash. `URL.origin`
 * will not do: it gives a blob: URL the origin of its page, and all unknown schemes the same one. The result for an invalid
 * URL is equal to nothing, not even to itself.
 */
export const originOf = (url: string | URL): string | object => hrefOf(url)?.split('/', 3).join() ?? {}
