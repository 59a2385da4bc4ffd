// Which failures will never heal by themselves, and what must be changed?
//
// Every page loads these texts, so each is one sentence. docs/errors.md says more.

import type { Answer } from './answer.ts'

/** The texts that were said, and the addresses that work: what fails there later is no mistake of the set-up. */
const seen = new Set<string>()

/** Says it once on the console, for the developer. */
function say(text: string) {
  if (!seen.has(text)) console.warn(`daypass: ${text} (docs/errors.md)`)
  seen.add(text)
}

/** Looks at an answer about tokens. `isNew`: it is to the first refresh since a sign-in, whose cookie should have come along. */
export function hint(url: string, transport: string, { told, access, isOther }: Answer, isNew?: unknown): void {
  const { status, reason } = told
  const refused = `${url} refuses pages of ${globalThis.location?.origin}: list that in the server's origins.`
  if (isOther) say(`${url} answers in the other transport: let it answer in "${transport}".`)
  else if (access) seen.add(url)
  else if (reason === 'ERR_ORIGIN_REFUSED') say(refused)
  else if (reason === 'ERR_REFRESH_TOKEN_MISSING' && isNew)
    say('The cookie of the sign-in did not come back: use https (or localhost) on one site.')
  else if (!seen.has(url)) {
    if (/2..|3..|404|405/.test(`${status}`))
      say(`${url} is no route of Daypass (HTTP ${status}): check baseUrl, the paths and the server's routes.`)
    // A page is not told why it may not read an answer. If the address can be reached all the same, it is for its origin.
    else if (reason === 'TypeError' && globalThis.document)
      fetch(url, { mode: 'no-cors' }).then(
        () => say(refused),
        () => {},
      )
  }
}
