// Hints on the console about failures that need a change of the set-up.
//
// Every page loads these messages, so each is one sentence. docs/errors.md says more.

import type { TokenResponse } from './token-response.ts'

/** The hints that were given, and the addresses that work: a later failure there is not caused by the set-up. */
const seen = new Set<string>()

/** Logs a hint for the developer, once. */
export function warnOnce(text: string) {
  if (!seen.has(text)) console.warn(`daypass: ${text} (docs/errors.md)`)
  seen.add(text)
}

/** Gives a hint about a response. `isNew`: it was the first refresh after a sign-in, so it should have brought the cookie. */
export function hint(url: string, transport: string, { info, access, isOther }: TokenResponse, isNew?: unknown): void {
  const { status, reason } = info
  const refused =
    globalThis.location || transport === 'body'
      ? `${url} refuses pages of ${globalThis.location?.origin}: list that in the server's origins.`
      : `${url} sets its cookie for pages alone: elsewhere use transport: "body".`
  if (isOther) {
    // The reason is part of the error, too.
    info.reason = `${url} answers in the other transport: let it answer in "${transport}".`
    warnOnce(info.reason)
  } else if (access) seen.add(url)
  else if (reason === 'ERR_ORIGIN_REFUSED') warnOnce(refused)
  else if (reason === 'ERR_REFRESH_TOKEN_MISSING' && isNew)
    warnOnce('The cookie of the sign-in did not come back: use https (or localhost) on one site.')
  else if (!seen.has(url)) {
    if (/2..|3..|404|405/.test(`${status}`))
      warnOnce(`${url} is no route of Daypass (HTTP ${status}): check baseUrl, the paths and the server's routes.`)
    // A page cannot see why it may not read a response. If the address can be reached, the reason is the page's origin,
    // unless the page is of the server's own: then the response was lost.
    else if (reason === 'TypeError' && globalThis.document && !url.startsWith(`${location.origin}/`))
      fetch(url, { mode: 'no-cors' }).then(
        () => warnOnce(refused),
        () => {},
      )
  }
}
