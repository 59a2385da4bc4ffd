// iron-session on node:http: the cookie is unsealed, and sealed anew so that it lives on.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { getIronSession, sealData } from 'iron-session'
import { secret, serve } from './serve.ts'

interface Session {
  subject: string
  role: string
  lastSeen: number
}
const options = { password: secret, cookieName: 'session' }

async function handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const session = await getIronSession<Session>(req, res, options)
  if (session.subject === undefined) return void res.writeHead(401).end()
  session.lastSeen = Date.now()
  await session.save()
  const text = JSON.stringify({ subject: session.subject, role: session.role })
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

serve(handle, async (subject) => {
  const session: Session = { subject, role: 'admin', lastSeen: Date.now() }
  return `session=${await sealData(session, options)}`
})
