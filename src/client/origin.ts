// Where does a URL lead, to the letter?

/**
 * The origin (scheme, host and port) that a request to `url` would go to, resolved as the page resolves it; undefined
 * where it is no URL. Not `URL.origin`, which calls a blob: URL its page's, and all odd schemes the same, but what
 * is before the third slash.
 */
export function originOf(url: string | URL): string | undefined {
  try {
    return new URL(url, globalThis.document?.baseURI).href.split('/', 3).join()
  } catch {} // a relative URL where there is no page
}
