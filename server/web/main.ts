// The page: the first visit, or the page of a person who is signed in.

import type { ClientSession } from 'daypass/client'
import { showBanner } from './banner.ts'
import { makeCalls } from './calls.ts'
import { makeClaims } from './claims.ts'
import { makeDevices } from './devices.ts'
import { find, make, makeButton, say } from './dom.ts'
import { followEvents } from './events.ts'
import { makeNotices } from './notices.ts'
import { client, isGuest } from './pass.ts'
import { makePassword } from './password.ts'
import { showStatus } from './status.ts'
import { makeStories } from './stories.ts'
import { makeTicket } from './ticket.ts'
import { makeWelcome } from './welcome.ts'
import { language, switchLanguage, words } from './words.ts'

const main = find('main')
const problem = find('problem')
const signOut = makeButton({ class: 'plain', testid: 'sign-out' }, words.signOut, leaveSession)

/** The session's id that is shown, or `signed-out` or `waiting`. */
let shown = ''
let wasGuest = false
let leave = new AbortController()

function render(): void {
  const { status, session } = client.getSession()
  const next = session?.id ?? (status === 'signed-out' ? 'signed-out' : 'waiting')
  if (next === shown) return
  const wasThere = shown !== '' && shown !== 'waiting'
  shown = next
  leave.abort()
  leave = new AbortController()
  if (session !== undefined) say(problem, '')
  signOut.hidden = session === undefined
  if (session !== undefined) {
    wasGuest = isGuest()
    main.replaceChildren(...makeSignedIn(leave.signal, session))
    void followEvents(leave.signal)
  } else if (next === 'signed-out') main.replaceChildren(makeWelcome(wasGuest))
  else main.replaceChildren()
  // Move the focus to the new heading, for keyboards and screen readers: the field that had it is gone.
  if (wasThere) main.querySelector<HTMLElement>('h1')?.focus()
}

function makeSignedIn(signal: AbortSignal, session: ClientSession): HTMLElement[] {
  const [stories, calls, claims] = [makeStories(signal), makeCalls(signal), makeClaims(signal)]
  const devices = makeDevices(signal, leaveSession)
  // Two columns of about the same height.
  const [first, second] = isGuest()
    ? [
        [stories, calls],
        [devices, claims],
      ]
    : [[calls, devices, makePassword(), stories], [claims]]
  return [
    makeNotices(signal, session),
    makeTicket(signal),
    make(
      'div',
      { class: 'columns', testid: 'signed-in' },
      make('div', { class: 'column' }, ...first),
      make('div', { class: 'column' }, ...second),
    ),
  ]
}

async function leaveSession(): Promise<void> {
  try {
    await client.signOut()
  } catch {
    say(problem, words.signedOutHereOnly)
  }
}

document.documentElement.lang = language
const other = language === 'de' ? 'en' : 'de'
find('tools').append(signOut)
find('foot').append(
  make('a', { href: '/docs' }, words.api),
  makeButton({ class: 'plain', testid: 'language', lang: other }, words.otherLanguage, switchLanguage),
)
showStatus(find('status'), find('announcement'))
showBanner(find('banner'), find('banner-title'), find('banner-text'))
client.subscribe(render)
render()
