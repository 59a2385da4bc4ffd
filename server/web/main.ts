// The console page: the card to sign in, or the page of a person who is signed in.

import { makeCalls } from './calls.ts'
import { makeDevices } from './devices.ts'
import { find, make, say } from './dom.ts'
import { client } from './pass.ts'
import { makePassword } from './password.ts'
import { makeSignIn } from './sign-in.ts'
import { showStatus } from './status.ts'
import { makeTicket } from './ticket.ts'

const main = find('main')
const notice = find('notice')
const signOut = find('sign-out')

/** The session's id that is shown, or `signed-out` or `waiting`. */
let shown = ''
let leave = new AbortController()

function render(): void {
  const { status, session } = client.getSession()
  const next = session?.id ?? (status === 'signed-out' ? 'signed-out' : 'waiting')
  if (next === shown) return
  const wasThere = shown !== '' && shown !== 'waiting'
  shown = next
  leave.abort()
  leave = new AbortController()
  if (session !== undefined) say(notice, '')
  signOut.hidden = session === undefined
  if (session !== undefined) main.replaceChildren(...makeSignedIn(leave.signal))
  else if (next === 'signed-out') main.replaceChildren(makeSignIn())
  else main.replaceChildren()
  // Move the focus to the new heading, for keyboards and screen readers: the field that had it is gone.
  if (wasThere) main.querySelector<HTMLElement>('h1')?.focus()
}

function makeSignedIn(signal: AbortSignal): HTMLElement[] {
  const devices = makeDevices(signal)
  const aside = make('div', { class: 'aside' }, devices.element, makePassword(devices.load))
  return [makeTicket(signal), make('div', { class: 'columns', testid: 'signed-in' }, makeCalls(signal), aside)]
}

signOut.addEventListener('click', async () => {
  try {
    await client.signOut()
  } catch {
    say(
      notice,
      'You are signed out here. The server could not be reached, so the session there lives until it expires.',
    )
  }
})
showStatus(find('status'), find('announcement'))
client.subscribe(render)
render()
