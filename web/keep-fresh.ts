// Who renews the pass while nobody calls?

import { client } from './pass.ts'

/** How long to wait before asking an unreachable server again; the client itself minds Retry-After. */
const patience = 1500

/** Renews the access token when it ends, as long as somebody looks. Calls need none of this: they renew by themselves. */
export function keepFresh(): void {
  let timer: number | undefined

  function plan(): void {
    clearTimeout(timer)
    const { status, expiresAt = 0 } = client.getSession()
    if (document.hidden || (status !== 'signed-in' && status !== 'offline')) return
    const wait = status === 'offline' ? patience : Math.max(0, expiresAt - performance.now())
    timer = window.setTimeout(renew, Math.min(wait, 2 ** 31 - 1))
  }

  async function renew(): Promise<void> {
    // What went wrong is in the session's status, which the page shows.
    await client.getAccessToken().catch(() => {})
    plan()
  }

  client.subscribe(plan)
  addEventListener('visibilitychange', plan)
  addEventListener('online', renew)
  void renew()
}
