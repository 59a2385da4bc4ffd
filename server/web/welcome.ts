// The first visit: what Daypass is, a way to try it, and the card for people with an account.

import { make, makeButton, say } from './dom.ts'
import { sayFailure } from './format.ts'
import { findOffers } from './offers.ts'
import { client } from './pass.ts'
import { drawPicture } from './picture.ts'
import { type Mode, makeSignIn } from './sign-in.ts'
import { words } from './words.ts'

/** Makes the page of somebody who is not signed in. `wasGuest`: the session that just ended was a throw-away one. */
export function makeWelcome(wasGuest: boolean): HTMLElement {
  const { reason = '' } = client.getSession()
  const ending = words.endings[reason]
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'try-problem' })
  const picture = make('div', { class: 'drawing' }, drawPicture())
  const beside = make('div', { class: 'beside' }, picture)
  const tryIt = makeButton({ class: 'primary', testid: 'try' }, words.tryIt, async () => {
    say(problem, '')
    try {
      await client.signIn({}, { path: 'try' })
    } catch (error) {
      say(problem, sayFailure(error))
    }
  })
  const card = (mode: Mode, isAsked: boolean) => {
    const { element, focus } = makeSignIn(mode)
    beside.replaceChildren(element)
    if (isAsked) focus()
  }
  const signIn = makeButton({ testid: 'show-sign-in' }, words.signIn, () => card('sign-in', true))
  const signUp = makeButton({ testid: 'show-sign-up' }, words.createAccount, () => card('sign-up', true))
  const trial = make('div', { class: 'try' }, tryIt, make('p', { class: 'hint' }, words.tryHint))
  const accounts = make('div', { class: 'accounts' }, make('p', {}, words.or), signIn, signUp)

  async function applyOffers(): Promise<void> {
    const offers = await findOffers()
    signUp.hidden = !offers.registration
    trial.hidden = !offers.trial
    if (!offers.trial && !beside.contains(document.activeElement))
      card(offers.registration ? 'sign-up' : 'sign-in', false)
  }

  void applyOffers()
  // People with an account come back to sign in again.
  if (ending !== undefined && !wasGuest) card('sign-in', false)
  return make(
    'section',
    { class: 'welcome', testid: 'signed-out' },
    make(
      'div',
      { class: 'pitch' },
      ...(ending === undefined ? [] : [make('p', { class: 'ending', testid: 'ending' }, ending)]),
      make('h1', { tabindex: -1 }, words.title),
      make('p', { class: 'lede' }, words.lede),
      trial,
      problem,
      accounts,
    ),
    beside,
  )
}
