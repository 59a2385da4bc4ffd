// The list of a person's sessions, each with a button that ends it.

import type { ClientSession } from 'daypass/client'
import { make, makeButton, say } from './dom.ts'
import { client } from './pass.ts'
import { sayUserAgent } from './user-agent.ts'
import { readFailure, sayAgo, sayFailure, sayRecent } from './words.ts'

interface Device extends ClientSession {
  current: boolean
  device: { userAgent?: string; ip?: string; label?: string }
  rotatedAt: number
}

/** Makes the list; it is read anew by `load`, and whenever the page is looked at again until `signal` aborts. */
export function makeDevices(signal: AbortSignal): { element: HTMLElement; load: () => Promise<void> } {
  const list = make('ul', { class: 'devices', testid: 'devices' })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'devices-problem' })
  const endOthers = makeButton({ class: 'plain', testid: 'end-others' }, 'End all others', () => act('/auth/sessions'))
  endOthers.hidden = true

  /** Asks the server; says what went wrong where something did. */
  async function ask(path: string, method: string): Promise<Response | undefined> {
    let failure: unknown
    try {
      const response = await client.fetch(path, { method })
      // Ended meanwhile, by whomever: that is what was wanted.
      if (response.ok || (method === 'DELETE' && response.status === 404)) return response
      failure = await readFailure(response)
    } catch (error) {
      failure = error
    }
    if (!signal.aborted) say(problem, sayFailure(failure))
    return undefined
  }

  async function load(): Promise<void> {
    const response = await ask('/auth/sessions', 'GET')
    if (response === undefined || signal.aborted) return
    const { sessions } = (await response.json()) as { sessions: Device[] }
    say(problem, '')
    // The one in front of you first, the others by when they were last there.
    sessions.sort((a, b) => Number(b.current) - Number(a.current) || b.rotatedAt - a.rotatedAt)
    list.replaceChildren(...sessions.map(makeItem))
    endOthers.hidden = sessions.length < 2
  }

  async function act(path: string): Promise<void> {
    if ((await ask(path, 'DELETE')) !== undefined) await load()
  }

  function makeItem({ id, device, createdAt, rotatedAt, current }: Device): HTMLElement {
    const name = device.label ?? sayUserAgent(device.userAgent)
    const seen = current ? undefined : `seen ${sayAgo(rotatedAt, Date.now())}`
    const since = [device.ip, `since ${sayRecent(createdAt)}`, seen]
    return make(
      'li',
      { testid: 'device' },
      make('p', { class: 'name' }, name),
      make('p', { class: 'since' }, since.filter(Boolean).join(' · ')),
      current
        ? make('span', { class: 'tag', testid: 'this-device' }, 'this device')
        : makeButton({ class: 'plain', testid: 'end', 'aria-label': `End ${name}` }, 'End', () =>
            act(`/auth/sessions/${id}`),
          ),
    )
  }

  addEventListener('focus', load, { signal })
  void load()
  const element = make(
    'section',
    { class: 'panel', 'aria-labelledby': 'devices-title' },
    make('div', { class: 'heading' }, make('h2', { id: 'devices-title' }, 'Devices'), endOthers),
    list,
    problem,
  )
  return { element, load }
}
