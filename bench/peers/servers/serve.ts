// What the servers of the comparison share: a sign-in at /admin/sessions, which is not measured, and the line that says
// where they listen.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sayListening } from '../../settings.ts'

export const issuer = 'http://localhost:12345'
export const secret = 'a secret of a benchmark that guards nothing 0123456789'

/** Makes a session, and returns what its chain sends first: a refresh token or cookies. */
export type SignIn = (subject: string) => Promise<string>

/** Serves `handle` on node:http, and the sign-in beside it. */
export function serve(handle: (req: IncomingMessage, res: ServerResponse) => unknown, signIn: SignIn): void {
  const server = createServer(async (req, res) => {
    if (req.url !== '/admin/sessions') return handle(req, res)
    let body = ''
    for await (const chunk of req.setEncoding('utf8')) body += chunk
    res.end(JSON.stringify({ refreshToken: await signIn(JSON.parse(body).subject) }))
  })
  server.listen(0, '127.0.0.1', () => sayListening((server.address() as AddressInfo).port))
}

/** The cookie header of a client that received these. */
export const cookiesOf = (setCookies: readonly string[]): string =>
  setCookies.map((cookie) => cookie.split(';')[0]).join('; ')
