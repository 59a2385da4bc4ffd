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
    const { status } = client.getSession()
    line.dataset.status = status
    say(line, words[status])
    if (status === 'offline') say(forEars, 'Offline: the server does not answer. Your session is kept.')
    else if (status === 'signed-in' || status === 'signed-out') say(forEars, words[status])
  }
  client.subscribe(render)
  render()
}
