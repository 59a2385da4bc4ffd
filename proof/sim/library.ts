// A program with an OAuth library that knows no Idempotency-Key: it asks once, and where the response is lost, asks again
// with the same token when it is needed next, which may be a day later.

interface Remembered {
  token?: string
}

/** What a library needs of its machine. */
export interface LibraryOptions {
  /** Where the server is, with the path under which its routes are. */
  baseUrl: string
  fetch: typeof fetch
  storage: { get(name: string): Promise<string | undefined>; set(name: string, value: string): Promise<void> }
  clock(): number
  sleep(milliseconds: number): Promise<void>
}

const failure = (code: string) => Object.assign(new Error(code), { code })

/** The part of a client's surface that the simulation uses. */
export function createLibrary({ baseUrl, fetch, storage, clock, sleep }: LibraryOptions) {
  let snapshot: { status: string; session?: { id: string; createdAt: number }; reason?: string } = { status: 'unknown' }
  let access: { token: string; until: number } | undefined
  let flight: Promise<void> | undefined
  const listeners: (() => void)[] = []

  const recall = async (): Promise<Remembered> => JSON.parse((await storage.get('session')) ?? '{}')
  const show = (next: typeof snapshot) => {
    snapshot = next
    for (const listener of listeners) listener()
  }

  async function post(path: string, body: object): Promise<{ status: number; json: any }> {
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

  async function take({ accessToken, expiresIn, refreshToken, session }: any): Promise<void> {
    await storage.set('session', JSON.stringify({ token: refreshToken }))
    access = { token: accessToken, until: clock() + expiresIn * 1000 }
    show({ status: 'signed-in', session })
  }

  async function refreshOnce(): Promise<void> {
    const { token } = await recall()
    if (token === undefined) throw failure('NO_SESSION')
    const { status, json } = await post('/refresh', { refreshToken: token })
    if (status === 200 && json.refreshToken) return take(json)
    if (json.error !== 'invalid_grant') throw failure(json.code ?? `HTTP ${status}`)
    await storage.set('session', '{}')
    access = undefined
    show({ status: 'signed-out', reason: json.code })
    throw failure('SIGNED_OUT')
  }

  function refresh(): Promise<void> {
    flight ??= refreshOnce().finally(() => {
      flight = undefined
    })
    return flight
  }

  const call = (url: string, init?: RequestInit) =>
    fetch(new Request(url, { ...init, headers: { authorization: `Bearer ${access!.token}` } }))

  return {
    getSession: () => snapshot,
    subscribe: (listener: () => void) => listeners.push(listener),
    async signIn(credentials: object): Promise<void> {
      const { status, json } = await post('/login', { ...credentials, transport: 'body' })
      if (status !== 200 || !json.refreshToken) throw failure(`HTTP ${status}`)
      await take(json)
    },
    async signOut(): Promise<void> {
      const { token } = await recall()
      await storage.set('session', '{}')
      access = undefined
      show({ status: 'signed-out', reason: 'sign-out' })
      if (token) await post('/logout', { refreshToken: token })
    },
    async getAccessToken(options?: { forceFresh?: boolean }): Promise<string> {
      if (options?.forceFresh || access === undefined || access.until <= clock()) await refresh()
      return access!.token
    },
    async fetch(url: string, init?: RequestInit): Promise<Response> {
      if (access === undefined || access.until <= clock()) await refresh()
      const response = await call(url, init)
      if (response.status !== 401) return response
      await refresh()
      return call(url, init)
    },
  }
}
