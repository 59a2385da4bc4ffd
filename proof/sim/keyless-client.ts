// A client made with an OAuth library that sends no Idempotency-Key. It sends a refresh once; if the response is lost, it
// sends the same token again the next time it needs an access token, which may be a day later.

import type { Client, Snapshot } from './device.ts'

export interface KeylessClientOptions {
  /** The address of the server's routes. */
  baseUrl: string
  fetch: typeof fetch
  storage: { get(name: string): Promise<string | undefined>; set(name: string, value: string): Promise<void> }
  /** Milliseconds. */
  clock(): number
  sleep(milliseconds: number): Promise<void>
}

interface Memory {
  token?: string
}

/** The JSON of the server's responses. */
interface Body {
  accessToken: string
  expiresIn: number
  refreshToken?: string
  session: { id: string; createdAt: number }
  error?: string
  code?: string
}

const failure = (code: string) => Object.assign(new Error(code), { code })

export function createKeylessClient({ baseUrl, fetch, storage, clock, sleep }: KeylessClientOptions): Client {
  let snapshot: Snapshot = { status: 'unknown' }
  let access: { token: string; until: number } | undefined
  let refreshing: Promise<string> | undefined
  const listeners: (() => void)[] = []

  const recall = async (): Promise<Memory> => JSON.parse((await storage.get('session')) ?? '{}')
  const show = (next: Snapshot) => {
    snapshot = next
    for (const listener of listeners) listener()
  }

  async function post(path: string, body: object): Promise<{ status: number; json: Body }> {
    const gone = new AbortController()
    const timeout = sleep(10_000).then(() => {
      gone.abort(failure('TIMEOUT'))
      throw failure('TIMEOUT')
    })
    const asked = (async () => {
      const response = await fetch(baseUrl + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: gone.signal,
      })
      return { status: response.status, json: Object(await response.json().catch(() => ({}))) }
    })()
    timeout.catch(() => {})
    return Promise.race([asked, timeout])
  }

  async function accept({ accessToken, expiresIn, refreshToken, session }: Body): Promise<string> {
    await storage.set('session', JSON.stringify({ token: refreshToken }))
    access = { token: accessToken, until: clock() + expiresIn * 1000 }
    show({ status: 'signed-in', session })
    return accessToken
  }

  async function refreshOnce(): Promise<string> {
    const { token } = await recall()
    if (token === undefined) throw failure('NO_SESSION')
    const { status, json } = await post('/refresh', { refreshToken: token })
    // A late response for an earlier session says nothing about the one that followed.
    if ((await recall()).token !== token) throw failure('SESSION_CHANGED')
    if (status === 200 && json.refreshToken) return accept(json)
    if (json.error !== 'invalid_grant') throw failure(json.code ?? `HTTP ${status}`)
    await storage.set('session', '{}')
    access = undefined
    show({ status: 'signed-out', reason: json.code })
    throw failure('SIGNED_OUT')
  }

  function refresh(): Promise<string> {
    refreshing ??= refreshOnce().finally(() => {
      refreshing = undefined
    })
    return refreshing
  }

  const findGoodToken = () => (access === undefined || access.until <= clock() ? undefined : access.token)

  const call = (url: string, token: string, init?: RequestInit) =>
    fetch(new Request(url, { ...init, headers: { authorization: `Bearer ${token}` } }))

  return {
    getSession: () => snapshot,
    subscribe: (listener) => listeners.push(listener),
    async signIn(credentials) {
      const { status, json } = await post('/login', { ...credentials, transport: 'body' })
      if (status !== 200 || !json.refreshToken) throw failure(`HTTP ${status}`)
      await accept(json)
    },
    async signOut() {
      const { token } = await recall()
      await storage.set('session', '{}')
      access = undefined
      show({ status: 'signed-out', reason: 'sign-out' })
      if (token) await post('/logout', { refreshToken: token })
    },
    async getAccessToken(options) {
      return (options?.forceFresh ? undefined : findGoodToken()) ?? (await refresh())
    },
    async fetch(url, init) {
      const response = await call(url, findGoodToken() ?? (await refresh()), init)
      return response.status === 401 ? call(url, await refresh(), init) : response
    },
  }
}
