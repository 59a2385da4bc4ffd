// A server of Request and Response, as Bun, Deno and Workers have it, on node:http; docs/frameworks.md prints it.
// Run it: `npm run build && DAYPASS_SECRET=$(openssl rand -base64 48) npx node examples/adapters/fetch.ts`

import { serve } from '@hono/node-server'
import { createDaypass } from 'daypass'
import { createFetchAuth } from 'daypass/fetch'
import { createMemoryStore } from 'daypass/memory'

const auth = createDaypass<{ role: string }>({
  secret: process.env.DAYPASS_SECRET!,
  issuer: 'https://example.com',
  store: createMemoryStore(), // a database of yours, where there is more than one process
})
export const web = createFetchAuth(auth, {
  cookie: { sameSite: 'lax' },
  authenticate: ({ name, password }) =>
    name === 'ada' && password === 'secret' ? { subject: 'Ada', claims: { role: 'admin' } } : null,
})

/** Responds to every request: Daypass's routes, and the app's paths. */
export async function app(request: Request, ip?: string): Promise<Response> {
  return (await web.routes(request, { ip })) ?? paths[new URL(request.url).pathname]?.(request, ip) ?? notFound()
}

const paths: Record<string, (request: Request, ip?: string) => Promise<Response>> = {
  '/me': web.requireAuth(({ auth }) => Response.json({ subject: auth.subject, role: auth.claims.role })),
  '/users/7': web.requireAuth(() => new Response(null, { status: 204 }), {
    allow: ({ claims }) => claims.role === 'admin',
  }),
  async '/'(request, ip) {
    const session = await web.findSession(request, { ip })
    const text = session ? `<h1>Hello ${session.subject}</h1>` : '<a href="/login">Sign in</a>'
    return new Response(text, { headers: { 'content-type': 'text/html' } })
  },
}
const notFound = () => new Response(null, { status: 404 })

serve({ fetch: (request) => app(request), port: Number(process.env.PORT ?? 3000) })
