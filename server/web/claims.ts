// The claims of the access token, decoded, each with its meaning.

import { make } from './dom.ts'
import { sayTime, sayWhen } from './format.ts'
import { client } from './pass.ts'
import { words } from './words.ts'

/** Makes the panel; it follows the token until `signal` aborts. The signature is never shown, so nobody can copy the token. */
export function makeClaims(signal: AbortSignal): HTMLElement {
  const rows = make('tbody', { testid: 'claims' })

  let shown: number | undefined
  async function render(): Promise<void> {
    const { expiresAt } = client.getSession()
    if (expiresAt === undefined || expiresAt === shown) return
    shown = expiresAt
    const token = await client.getAccessToken().catch(() => '')
    if (token === '' || signal.aborted) return
    rows.replaceChildren(...Object.entries(readClaims(token)).map(makeRow))
  }

  signal.addEventListener('abort', client.subscribe(render))
  void render()
  return make(
    'section',
    { class: 'panel', 'aria-labelledby': 'claims-title' },
    make('h2', { id: 'claims-title' }, words.inside),
    make('p', { class: 'soft' }, words.insideMore),
    make(
      'table',
      { class: 'claims' },
      make(
        'thead',
        {},
        make('tr', {}, make('th', { scope: 'col' }, words.claim), make('th', { scope: 'col' }, words.value)),
      ),
      rows,
    ),
  )
}

/** The payload of a JWT (RFC 7519 §3). */
function readClaims(token: string): Record<string, unknown> {
  const [, payload = ''] = token.split('.')
  const bytes = Uint8Array.from(atob(payload.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0))
  return JSON.parse(new TextDecoder().decode(bytes))
}

function makeRow([name, value]: [string, unknown]): HTMLElement {
  const meaning = words.claims[name]
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, make('code', {}, name), ...(meaning === undefined ? [] : [make('span', {}, meaning)])),
    make('td', {}, sayValue(name, value)),
  )
}

/** An instant as the person writes it, anything else as it is in the token. */
function sayValue(name: string, value: unknown): string {
  if (name === 'iat' || name === 'exp') return sayTime(Number(value) * 1000)
  if (name === 'auth_time') return sayWhen(Number(value) * 1000)
  return typeof value === 'string' ? value : JSON.stringify(value)
}
