// In which state is the session, in two words at the top of the page?

import { say } from './dom.ts'
import { client } from './pass.ts'

const words = {
  unknown: 'Looking …',
  'signed-in': 'Signed in',
  refreshing: 'Renewing …',
  offline: 'Offline',
  'signed-out': 'Signed out',
} as const

/** Keeps the line up to date. Ears get the changes that matter, not every renewal. */
export function showStatus(line: HTMLElement, forEars: HTMLElement): void {
  function render(): void {
    const { status, session } = client.getSession()
    // A visitor's first question is no renewal: there is nothing yet to renew.
    const shown = status === 'refreshing' && session === undefined ? 'unknown' : status
    line.dataset.status = shown
    say(line, words[shown])
    if (shown === 'offline') say(forEars, 'Offline: the server does not answer. Your session is kept.')
    else if (shown === 'signed-in' || shown === 'signed-out') say(forEars, words[shown])
  }
  client.subscribe(render)
  render()
}
