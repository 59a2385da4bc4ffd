// A session from sign-in to sign-out with the published client, as every runtime plays it.

import type { ClientOptions, createClient, DaypassClient, isSignedOut } from '../../src/client/index.ts'

export type Client = { createClient: typeof createClient; isSignedOut: typeof isSignedOut }
export type Told = Awaited<ReturnType<typeof live>>

/** Returns what the test looks at. */
export async function live({ createClient, isSignedOut }: Client, url: string) {
  const kept = new Map<string, string>()
  const options: ClientOptions = { baseUrl: `${url}/auth`, storage: kept }
  const client = createClient(options)
  const states: string[] = []
  const unsubscribe = client.subscribe(() => states.push(client.getSession().status))

  const call = async (from: DaypassClient, body: string) =>
    (await (await from.fetch(`${url}/api/echo`, { method: 'POST', body })).json()).body

  await client.signIn({ password: 'right' })
  const told = {
    posted: await call(client, 'first'),
    // The server's clock moves on: all of these are refused once, and one refresh is lost on the way.
    ended: await fetch(`${url}/api/expire`).then((response) => response.status),
    ten: await Promise.all(Array.from({ length: 10 }, (_, n) => call(client, `body ${n}`))),
    // A process that begins anew with what was kept.
    again: await call(createClient(options), 'again'),
  }
  await client.signOut()
  const after = await client.getAccessToken().catch((error) => isSignedOut(error) && error.reason)
  unsubscribe()
  return { ...told, after, states: [...new Set(states)] }
}
