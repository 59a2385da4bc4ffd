// The Worker of workerd.test.ts: the published client in a Durable Object, and within one request.

import { createClient, isSignedOut } from 'daypass/client'
import { type Driver, driveAxios, driveFetch } from './drivers.ts'
import { live } from './live.ts'

interface Objects {
  getByName(name: string): { fetch(request: Request): Promise<Response> }
}
interface State {
  storage: { get(name: string): Promise<string | undefined>; put(name: string, value: string): Promise<void> }
}

// A Worker may make its client where it cannot send anything.
createClient({ baseUrl: 'https://api.example.com/auth' })

/** One person's app. */
export class App {
  drivers = new Map<string, Driver>()
  storage: State['storage']

  constructor({ storage }: State) {
    this.storage = storage
  }

  async fetch(request: Request): Promise<Response> {
    const { baseUrl, how, app, name, given } = (await request.json()) as any
    const { storage } = this
    if (!this.drivers.has(app)) {
      const client = createClient({
        baseUrl,
        storage: { get: (name) => storage.get(name), set: (name, value) => storage.put(name, value) },
      })
      this.drivers.set(app, how === 'fetch' ? driveFetch(client) : driveAxios(client, { adapter: 'fetch' }))
    }
    return Response.json(await (this.drivers.get(app) as any)[name](...given))
  }
}

export default {
  async fetch(request: Request, { APPS }: { APPS: Objects }): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url)
    if (pathname === '/live') return Response.json(await live({ createClient, isSignedOut }, searchParams.get('at')!))
    return APPS.getByName(pathname).fetch(request)
  },
}
