// The state of the session, in two words at the top of the page.

import { say } from './dom.ts'
import { client } from './pass.ts'
import { words } from './words.ts'

/** Keeps the line up to date. A screen reader announces the changes that matter, not every renewal. */
export function showStatus(line: HTMLElement, announcement: HTMLElement): void {
  function render(): void {
    const { status } = client.getSession()
    line.dataset.status = status
    say(line, words.status[status])
    if (status === 'offline') say(announcement, words.offlineAnnouncement)
    else if (status === 'signed-in' || status === 'signed-out') say(announcement, words.status[status])
  }
  client.subscribe(render)
  render()
}
