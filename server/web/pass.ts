// The page's client, and how often its session was renewed.

import { createClient } from 'daypass/client'

/** The page's one client, made as any app makes it. */
export const client = createClient({ baseUrl: new URL('/auth', location.href).href })

let renewals = 0
let lastSession: string | undefined
let lastExpiry: number | undefined

/** How many access tokens came since this page took up its session, the first one not counted. */
export const countRenewals = () => renewals

// The first listener of all, so that every other one reads a count that is up to date.
client.subscribe(() => {
  const { session, expiresAt } = client.getSession()
  if (session?.id !== lastSession) renewals = 0
  else if (expiresAt !== lastExpiry) renewals++
  lastSession = session?.id
  lastExpiry = expiresAt
})
