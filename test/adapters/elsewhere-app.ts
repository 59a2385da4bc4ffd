// The app of runtimes.test.ts: daypass/fetch, the core, the memory store and the verifier, in whatever runtime runs it.

import { createDaypass, type DaypassOptions } from 'daypass'
import { createFetchAuth } from 'daypass/fetch'
import { createMemoryStore } from 'daypass/memory'
import { type ForVerifier, verifyAll } from './elsewhere-verify.ts'

const secret = 'a secret that the runtimes share, thirty-two bytes and more'
const issuer = 'https://id.test'

/** @param store Default: in memory. */
export function createApp(store: DaypassOptions['store'] = createMemoryStore()) {
  const auth = createDaypass({
    secret,
    issuer,
    store,
    findSubject: (id) => ({ claims: { role: 'found' }, user: { id } }),
  })
  const web = createFetchAuth(auth, {
    authenticate: ({ name, password }) => (password === 'secret' ? { subject: String(name) } : null),
  })
  const me = web.requireAuth(({ auth }) => Response.json({ subject: auth.subject, role: auth.claims.role }))
  return async (request: Request, ip?: string): Promise<Response> => {
    const response = await web.routes(request, { ip })
    if (response) return response
    const { pathname } = new URL(request.url)
    if (pathname === '/me') return me(request)
    if (pathname === '/page') return Response.json((await web.findSession(request, { ip }))?.subject ?? null)
    if (pathname === '/verify') return Response.json(await verifyAll((await request.json()) as ForVerifier))
    if (pathname === '/sign') return Response.json(await signAll((await request.json()) as Record<string, string>))
    return new Response('not found', { status: 404 })
  }
}

/** Makes a token with each key, in PEM, by its algorithm. */
async function signAll(keys: Record<string, string>) {
  const told: Record<string, unknown> = {}
  for (const [algorithm, privateKey] of Object.entries(keys)) {
    const signingKeys = [{ algorithm, privateKey }] as DaypassOptions['signingKeys']
    const auth = createDaypass({ secret, issuer, store: createMemoryStore(), signingKeys })
    const { accessToken } = await auth.issue('ada')
    told[algorithm] = { accessToken, jwks: auth.jwks() }
  }
  return told
}
