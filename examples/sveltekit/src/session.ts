// src/session.ts
import { createClient } from 'daypass/client'
import { createSubscriber } from 'svelte/reactivity'
import type { Web } from './auth.server.ts'

export const client = createClient<Web>({ baseUrl: '/auth' })
const subscribe = createSubscriber(client.subscribe)

/** The session as the client knows it now. A component that reads it is rendered again when it changes. */
export function getSession() {
  subscribe()
  return client.getSession()
}
