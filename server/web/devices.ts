// The list of a person's sessions: named, renamed and ended here, and up to date by the server's events.

import type { ClientSession } from 'daypass/client'
import { make, makeButton, say } from './dom.ts'
import { onEvent } from './events.ts'
import { readFailure, sayAgo, sayFailure, sayRecent } from './format.ts'
import { client } from './pass.ts'
import { sayUserAgent } from './user-agent.ts'
import { words } from './words.ts'

interface Device extends ClientSession {
  current: boolean
  device: { userAgent?: string; ip?: string; label?: string }
  rotatedAt: number
}

/** The events after which the list is another one. A renewal changes nothing in it but an instant. */
const changes = ['ready', 'issued', 'updated', 'revoked', 'reused', 'expired']

/** Makes the list, until `signal` aborts. `signOut` signs this device out. */
export function makeDevices(signal: AbortSignal, signOut: () => Promise<void>): HTMLElement {
  const list = make('ul', { class: 'devices', testid: 'devices' })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'devices-problem' })
  const endOthers = makeButton({ testid: 'end-others' }, words.endOthers, () => act('DELETE', '/auth/sessions'))
  endOthers.hidden = true
  const everywhere = makeButton({ testid: 'everywhere' }, words.everywhere, async () => {
    if ((await ask('DELETE', '/auth/sessions')) !== undefined) await signOut()
  })

  /** Asks the server; says what went wrong where something did. */
  async function ask(method: string, path: string, body?: object): Promise<Response | undefined> {
    let failure: unknown
    try {
      const content = body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
      const response = await client.fetch(path, { method, ...content })
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
    const response = await ask('GET', '/auth/sessions')
    if (response === undefined || signal.aborted) return
    const { sessions } = (await response.json()) as { sessions: Device[] }
    say(problem, '')
    // A name that is being typed would be lost.
    if (list.contains(document.activeElement) && document.activeElement?.matches('input')) return
    // The one in front of you first, the others by when they were last there.
    sessions.sort((a, b) => Number(b.current) - Number(a.current) || b.rotatedAt - a.rotatedAt)
    list.replaceChildren(...sessions.map(makeItem))
    endOthers.hidden = sessions.length < 2
  }

  async function act(method: string, path: string, body?: object): Promise<void> {
    if ((await ask(method, path, body)) !== undefined) await load()
  }

  function makeItem({ id, device, createdAt, rotatedAt, current }: Device): HTMLElement {
    const name = device.label ?? sayUserAgent(device.userAgent)
    const seen = current ? undefined : words.seen(sayAgo(rotatedAt, Date.now()))
    const since = [device.ip, words.since(sayRecent(createdAt)), seen].filter(Boolean).join(' · ')
    const path = `/auth/sessions/${id}`
    const rename = { class: 'plain', testid: 'rename', 'aria-label': words.renameDevice(name) }
    const end = { class: 'plain', testid: 'end', 'aria-label': words.endDevice(name) }
    const item: HTMLElement = make(
      'li',
      { testid: 'device' },
      make(
        'p',
        { class: 'name' },
        name,
        ...(current ? [make('span', { class: 'tag', testid: 'this-device' }, words.thisDevice)] : []),
      ),
      make('p', { class: 'since' }, since),
      make(
        'div',
        { class: 'buttons' },
        makeButton(rename, words.rename, () =>
          edit(item, name, (label) => act('PATCH', path, { label: label || null })),
        ),
        ...(current ? [] : [makeButton(end, words.end, () => act('DELETE', path))]),
      ),
    )
    return item
  }

  onEvent(signal, ({ type }) => changes.includes(type) && load())
  addEventListener('focus', load, { signal })
  void load()
  return make(
    'section',
    { class: 'panel', 'aria-labelledby': 'devices-title' },
    make('h2', { id: 'devices-title' }, words.devices),
    list,
    problem,
    make('div', { class: 'actions' }, endOthers, everywhere),
  )
}

/** Puts a field in the place of an item. Enter saves, and Escape leaves the name as it was. */
function edit(item: HTMLElement, name: string, save: (label: string) => Promise<void>): void {
  const before = [...item.children]
  const input = make('input', { value: name, maxlength: 60, 'aria-label': words.nameOf(name), testid: 'device-name' })
  const form = make('form', { class: 'renaming' }, input, make('button', { testid: 'save-name' }, words.save))
  const close = () => {
    item.replaceChildren(...before)
    item.querySelector('button')?.focus()
  }
  input.addEventListener('keydown', ({ key }) => key === 'Escape' && close())
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    close()
    await save(input.value.trim())
  })
  item.replaceChildren(form)
  input.select()
}
