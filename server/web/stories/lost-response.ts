// The story of a lost response: the same question asked again gets the same token.

import { make, makeButton, say } from '../dom.ts'
import { onEvent } from '../events.ts'
import { readFailure, sayFailure } from '../format.ts'
import { client } from '../pass.ts'
import { words } from '../words.ts'

/** Makes the story. The server cuts the connection; the lines come from the server's events of this session. */
export function tellLostResponse(signal: AbortSignal): HTMLElement[] {
  const steps = make('ol', { class: 'steps', testid: 'lost-steps' })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'lost-problem' })
  /** Whether the events belong to the story. */
  let isTelling = false
  let generation = 0
  let replays = 0

  const tell = (text: string, tone: string) => steps.append(make('li', { class: tone }, text))

  onEvent(signal, (event) => {
    if (!isTelling || event.sessionId !== client.getSession().session?.id) return
    generation = event.generation
    if (event.type === 'rotated') tell(words.lostRotated(generation), 'bad')
    if (event.type !== 'replayed') return
    if (++replays > 1) steps.lastElementChild?.remove()
    tell(words.lostReplayed(generation, replays), 'good')
  })

  /** Waits for the events of what has happened: they come on a connection of their own. */
  async function untilReplayed(): Promise<void> {
    for (let tries = 0; tries < 100 && steps.querySelector('.good') === null; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async function lose(): Promise<void> {
    say(problem, '')
    steps.replaceChildren()
    replays = 0
    try {
      const armed = await client.fetch('/auth/try/lost-response', { method: 'POST' })
      if (!armed.ok) throw await readFailure(armed)
      isTelling = true
      tell(words.lostWaiting, '')
      await client.getAccessToken({ forceFresh: true, signal })
      await untilReplayed()
      tell(words.lostArrived(generation), 'good end')
    } catch (error) {
      if (!signal.aborted) say(problem, sayFailure(error))
    } finally {
      isTelling = false
    }
  }

  return [
    make('p', {}, words.lostIntro),
    makeButton({ class: 'primary', testid: 'lose' }, words.lostButton, lose),
    problem,
    make('div', { role: 'log', 'aria-label': words.lostTitle }, steps),
    make(
      'figure',
      {},
      make('img', { src: '/lost-response.svg', alt: words.lostPicture, width: 480, height: 460, loading: 'lazy' }),
    ),
    make('p', { class: 'soft' }, words.lostHonest),
  ]
}
