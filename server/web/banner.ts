// The banner of a server that is away: calm, because nobody is signed out.

import { say } from './dom.ts'
import { client, silence, watchReach } from './pass.ts'
import { words } from './words.ts'

/** Milliseconds of silence. One lost response is over sooner. */
const patience = 1500

/** Shows the banner while the server does not answer and somebody is signed in. */
export function showBanner(banner: HTMLElement, title: HTMLElement, text: HTMLElement): void {
  let timer: number | undefined
  function render(): void {
    clearTimeout(timer)
    const { status, session } = client.getSession()
    const quiet = silence()
    const isAway = status === 'offline' || (quiet !== undefined && quiet >= patience)
    banner.hidden = !(isAway && session !== undefined)
    // A screen reader announces a text that appears, and not an element that is shown.
    say(title, banner.hidden ? '' : words.away)
    say(text, banner.hidden ? '' : words.awayMore)
    if (quiet !== undefined && quiet < patience) timer = window.setTimeout(render, patience - quiet + 10)
  }
  client.subscribe(render)
  watchReach(render)
  render()
}
