// The story of a server that is away: the page keeps its person signed in.

import { make, makeButton, pause, say } from '../dom.ts'
import { client, cutOff } from '../pass.ts'
import { words } from '../words.ts'

/** Longer than a token of 10 seconds lives. */
const seconds = 20

/** Makes the story. The fault is in the page, which says so. */
export function tellAway(signal: AbortSignal): HTMLElement[] {
  const state = make('p', { role: 'status', class: 'state', testid: 'away-state' })

  async function goAway(): Promise<void> {
    say(state, words.awayNow(seconds))
    cutOff(seconds * 1000)
    // A first question, so that the silence is noticed at once.
    void client.fetch('/auth/me').catch(() => {})
    await pause(seconds * 1000)
    await client.getAccessToken({ signal }).catch(() => {})
    if (!signal.aborted) say(state, words.awayOver)
  }

  return [
    make('p', {}, words.awayIntro),
    makeButton({ class: 'primary', testid: 'go-away' }, words.awayButton, goAway),
    state,
  ]
}
