// src/hooks.server.ts
import type { Handle } from '@sveltejs/kit/hooks' // in SvelteKit 2: '@sveltejs/kit'
import { getWeb } from './auth.server.ts'

declare global {
  namespace App {
    interface Locals {
      user: { id: string; name: string } | undefined
    }
  }
}

export const handle: Handle = async ({ event, resolve }) => {
  const web = getWeb()
  const caller = { ip: event.getClientAddress() }
  const response = await web.routes(event.request, caller)
  if (response) return response
  const session = await web.findSession(event.request, caller)
  event.locals.user = session?.user
  return resolve(event)
}
