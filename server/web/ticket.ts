// The day pass: a ticket that burns down and is whole again at each renewal.

import { make, makeButton, say } from './dom.ts'
import { sayDuration, sayLeft, sayNumber, sayWhen } from './format.ts'
import { client, countRenewals, isGuest } from './pass.ts'
import { words } from './words.ts'

/** Makes the ticket; it lives until `signal` aborts. */
export function makeTicket(signal: AbortSignal): HTMLElement {
  const holder = make('h1', { class: 'holder', testid: 'holder', tabindex: -1 }, '\u00a0')
  const lifetime = make('span', { testid: 'lifetime' })
  const end = make('span', { testid: 'session-end' })
  const left = make('p', { class: 'left', role: 'timer', testid: 'left' })
  const renewals = make('span', { class: 'count', testid: 'renewals' })
  const times = make('span')
  const fill = make('div', { class: 'fill' })
  const ticket = make(
    'section',
    { class: 'ticket', 'aria-label': words.yourPass, testid: 'ticket' },
    make('div', { class: 'burn', 'aria-hidden': 'true' }, fill),
    make(
      'div',
      { class: 'face' },
      make('p', { class: 'eyebrow' }, words.dayPass),
      holder,
      make(
        'dl',
        {},
        makeTerm(words.accessToken, lifetime, words.accessTokenIs),
        makeTerm(words.refreshToken, words.refreshTokenWorks, words.refreshTokenIs),
        makeTerm(words.session, end, words.sessionIs),
      ),
    ),
    make(
      'div',
      { class: 'stub' },
      make('p', { class: 'eyebrow' }, words.timeLeft),
      left,
      make('p', { class: 'renewed' }, words.renewed, ' ', renewals, ' ', times),
      makeButton({ testid: 'renew' }, words.renewNow, () =>
        client.getAccessToken({ forceFresh: true }).catch(() => {}),
      ),
    ),
  )

  let shownExpiry: number | undefined
  function render(): void {
    const { session, expiresAt, expiresIn } = client.getSession()
    if (session === undefined || expiresAt === undefined || expiresIn === undefined) return
    if (expiresAt === shownExpiry) return
    const isRenewal = shownExpiry !== undefined
    shownExpiry = expiresAt
    say(lifetime, words.accessTokenLives(sayDuration(expiresIn)))
    say(end, words.sessionEnds(sayWhen(session.expiresAt)))
    say(renewals, sayNumber(countRenewals()))
    say(times, words.times(countRenewals()))
    burn(fill, expiresAt, expiresIn * 1000)
    if (isRenewal) stamp(ticket)
    tick()
  }

  let timer: number | undefined
  function tick(): void {
    clearTimeout(timer)
    const milliseconds = (shownExpiry ?? 0) - performance.now()
    say(left, sayLeft(milliseconds))
    if (!signal.aborted && milliseconds > 0) timer = window.setTimeout(tick, milliseconds < 60_000 ? 100 : 500)
  }

  const unsubscribe = client.subscribe(render)
  signal.addEventListener('abort', unsubscribe)
  render()
  void showHolder(holder)
  return ticket
}

const isStill = matchMedia('(prefers-reduced-motion: reduce)')

/** Fills the ticket in one sweep, then lets it drain until `expiresAt`. */
function burn(fill: HTMLElement, expiresAt: number, lifetime: number): void {
  const from = getComputedStyle(fill).transform
  for (const animation of fill.getAnimations()) animation.cancel()
  const left = Math.max(0, expiresAt - performance.now())
  const at = (part: number) => ({ transform: `translateX(${(part - 1) * 100}%)` })
  // Still means in ten steps: what is left stays to be seen, and nothing glides.
  const easing = isStill.matches ? 'steps(10, end)' : 'linear'
  fill.animate([at(left / lifetime), at(0)], { duration: left, fill: 'forwards', easing })
  if (isStill.matches) return
  const sweep = Math.min(450, left / 3)
  const whereItWillBe = at((left - sweep) / lifetime)
  fill.animate([{ transform: from }, whereItWillBe], { duration: sweep, easing: 'cubic-bezier(.2, .8, .2, 1)' })
}

/** The small sign that this pass is a new one. */
function stamp(ticket: HTMLElement): void {
  if (isStill.matches) return
  const count = ticket.querySelector('.count')
  count?.animate([{ transform: 'translateY(-.45em)', opacity: 0 }, {}], { duration: 300, easing: 'ease-out' })
}

/** A term of the tokens' world: its state, and what it is. */
function makeTerm(name: string, state: HTMLElement | string, meaning: string): HTMLElement {
  return make('div', {}, make('dt', {}, name), make('dd', {}, make('b', {}, state), make('p', {}, meaning)))
}

async function showHolder(element: HTMLElement): Promise<void> {
  if (isGuest()) return say(element, words.guest)
  const response = await client.fetch('/auth/me').catch(() => undefined)
  if (response?.ok) say(element, (await response.json()).email)
}
