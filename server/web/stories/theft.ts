// The story of a theft: a pretend phone and a thief use copies of one token, and the session ends at the collision.
//
// The requests are real. The phone's refresh token is in the memory of this page, which is where the thief copies it.

import { make, makeButton, say } from '../dom.ts'
import { onEvent, type SessionEvent } from '../events.ts'
import { readFailure, sayFailure, sayTime } from '../format.ts'
import { client } from '../pass.ts'
import { words } from '../words.ts'
import { drawFamily, type Family, type Party } from './family.ts'

/** The session of the pretend phone. */
interface Phone extends Family {
  sessionId: string
  /** The refresh token that each party holds. */
  tokens: Partial<Record<Party, string>>
  isOver: boolean
}

/** Makes the story. */
export function tellTheft(signal: AbortSignal): HTMLElement[] {
  let phone: Phone | undefined
  const state = make('p', { role: 'status', class: 'state', testid: 'theft-state' }, words.theftState.none)
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'theft-problem' })
  const drawing = make('div', { class: 'drawing', testid: 'family', hidden: true })
  /** The drawing of the docs, until there is a family to draw. */
  const sketch = make(
    'figure',
    {},
    make('img', { src: '/theft.svg', alt: words.theftPicture, width: 480, height: 540, loading: 'lazy' }),
  )
  const mail = make('div', { testid: 'mail', hidden: true })

  const act = (testid: string, text: string, run: () => Promise<void>) =>
    makeButton({ testid }, text, async () => {
      say(problem, '')
      try {
        await run()
      } catch (error) {
        if (!signal.aborted) say(problem, sayFailure(error))
      }
      render()
    })
  const buttons = {
    phone: act('phone', words.theftPhone, signIn),
    copy: act('copy', words.theftCopy, async () => copy()),
    phoneRefreshes: act('phone-refreshes', words.theftPhoneRefreshes, () => refresh('phone')),
    thiefRefreshes: act('thief-refreshes', words.theftThiefRefreshes, () => refresh('thief')),
    again: act('theft-again', words.theftAgain, async () => reset()),
  }

  async function signIn(): Promise<void> {
    const { refreshToken, session } = await post('/auth/try/phone', { label: words.phone })
    mail.hidden = true
    phone = {
      sessionId: session.id,
      tokens: { phone: refreshToken },
      givenTo: ['phone'],
      holds: { phone: 0 },
      isOver: false,
    }
    say(state, words.theftState.phone(0))
  }

  function copy(): void {
    if (phone?.tokens.phone === undefined || phone.holds.phone === undefined) return
    phone.tokens.thief = phone.tokens.phone
    phone.holds.thief = phone.holds.phone
    say(state, words.theftState.copied(phone.holds.phone))
  }

  async function refresh(party: Party): Promise<void> {
    const refreshToken = phone?.tokens[party]
    const held = phone?.holds[party]
    if (phone === undefined || refreshToken === undefined || held === undefined) return
    const key = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(24))))
    try {
      const answer = await post('/auth/try/refresh', { refreshToken }, { 'idempotency-key': `"${key}"` })
      phone.tokens[party] = answer.refreshToken
      phone.givenTo.push(party)
      phone.holds[party] = phone.givenTo.length - 1
      say(state, words.theftState.refreshed(words[party], phone.givenTo.length - 1))
    } catch (error) {
      const { body } = error as { body?: { code?: unknown } }
      if (body?.code === 'ERR_REFRESH_TOKEN_REUSED') {
        phone.collision = { generation: held, by: party }
        say(state, words.theftState.ended(words[party], held))
      } else if (body?.code === 'ERR_SESSION_REVOKED') say(state, words.theftState.out(words[party]))
      else throw error
      phone.isOver = true
    }
  }

  function reset(): void {
    phone = undefined
    mail.hidden = true
    say(state, words.theftState.none)
  }

  function render(): void {
    const all = Object.values(buttons)
    const focused = all.find((button) => button === document.activeElement)
    const isCopied = phone?.tokens.thief !== undefined
    buttons.phone.hidden = phone !== undefined
    buttons.copy.hidden = phone === undefined || isCopied || phone.isOver
    buttons.phoneRefreshes.hidden = phone === undefined
    buttons.thiefRefreshes.hidden = !isCopied
    buttons.again.hidden = !phone?.isOver
    for (const button of [buttons.phone, buttons.copy, buttons.again])
      button.classList.toggle('primary', !button.hidden)
    drawing.hidden = phone === undefined
    sketch.hidden = phone !== undefined
    drawing.replaceChildren(...(phone === undefined ? [] : [drawFamily(phone)]))
    // The button that had the keyboard's focus may be gone.
    if (focused?.hidden) all.find((button) => !button.hidden)?.focus()
  }

  onEvent(signal, (event) => {
    if (event.type !== 'reused' || event.sessionId !== phone?.sessionId) return
    mail.replaceChildren(...writeMail(event))
    mail.hidden = false
  })
  render()
  return [
    make('p', {}, words.theftIntro),
    state,
    make('div', { class: 'actions' }, ...Object.values(buttons)),
    problem,
    sketch,
    drawing,
    mail,
    make('p', { class: 'soft' }, words.theftHonest),
  ]
}

/** The event as an app would mail it, and as the server emitted it. */
function writeMail(event: SessionEvent): HTMLElement[] {
  const { at, device, request } = event
  const body = words.mailBody(device.label ?? words.phone, request.ip ?? '', sayTime(at))
  return [
    make('h3', {}, words.mailTitle),
    make('article', { class: 'mail' }, make('p', { class: 'name' }, words.mailSubject), make('p', {}, body)),
    make(
      'details',
      {},
      make('summary', { class: 'small' }, words.mailEvent),
      make('pre', { tabindex: 0 }, JSON.stringify(event, null, 2)),
    ),
  ]
}

/** What the answers of this story have. */
interface Answer {
  refreshToken: string
  session: { id: string }
}

async function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const content = { 'content-type': 'application/json', ...headers }
  const call = { method: 'POST', headers: content, body: JSON.stringify(body) }
  // A refresh carries its token in the body, and no access token of this page.
  const response = await (path.endsWith('/refresh') ? fetch(path, call) : client.fetch(path, call))
  if (!response.ok) throw await readFailure(response)
  return response.json()
}
