// What does the page show now: the card to sign in, or what a person who is signed in sees?

import { makeCalls } from './calls.ts'
import { makeDevices } from './devices.ts'
import { make, say } from './dom.ts'
import { client } from './pass.ts'
import { makePassword } from './password.ts'
import { makeSignIn } from './sign-in.ts'
import { showStatus } from './status.ts'
import { makeTicket } from './ticket.ts'

const main = document.getElementById('main')!
const notice = document.getElementById('notice')!
const signOut = document.getElementById('sign-out')!

/** What is shown: a session's id, or its absence in a word. */
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
  // Whoever came here by keyboard or ear begins at the new page's beginning, not in a field that is gone.
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
    say(notice, 'You are signed out here, but the server could not be told: there the session lives until it ends.')
  }
})
showStatus(document.querySelector<HTMLElement>('.status')!, document.getElementById('announcement')!)
client.subscribe(render)
render()
