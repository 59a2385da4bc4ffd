// Notices: a new device, a theft. Each stays until it is closed, or until there is newer news of the same session.

import type { ClientSession } from 'daypass/client'
import { make, makeButton } from './dom.ts'
import { onEvent, type SessionEvent } from './events.ts'
import { sayUserAgent } from './user-agent.ts'
import { words } from './words.ts'

const most = 2

/** Makes the list of notices about a session's person, until `signal` aborts. */
export function makeNotices(signal: AbortSignal, own: ClientSession): HTMLElement {
  const list = make('div', { class: 'notices', role: 'status', 'aria-label': words.notices, testid: 'notices' })

  const shown = new Map<string, HTMLElement>()

  function notify({ sessionId }: SessionEvent, text: string, tone: 'news' | 'alarm'): void {
    const notice = make('div', { class: `notice ${tone}`, testid: 'notice' }, make('p', {}, text))
    shown.get(sessionId)?.remove()
    shown.set(sessionId, notice)
    notice.append(makeButton({ class: 'plain', testid: 'close-notice' }, words.close, () => notice.remove()))
    list.prepend(notice)
    while (list.children.length > most) list.lastElementChild?.remove()
  }

  onEvent(signal, (event) => {
    if (event.type === 'issued' && event.sessionId !== own.id) notify(event, words.newDevice(nameOf(event)), 'news')
    if (event.type === 'reused') notify(event, words.theft(nameOf(event)), 'alarm')
  })
  return list
}

/** The name of the device of an event. */
export const nameOf = ({ device }: Pick<SessionEvent, 'device'>) => device.label ?? sayUserAgent(device.userAgent)
