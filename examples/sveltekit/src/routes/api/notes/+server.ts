// src/routes/api/notes/+server.ts
import { getWeb } from '../../../auth.server.ts'
import { notes } from '../../../notes.server.ts'
import type { RequestHandler } from './$types'

export const DELETE: RequestHandler = async ({ request }) => {
  const auth = await getWeb().requireAuth(request)
  if (auth instanceof Response) return auth
  notes.clear()
  return new Response(null, { status: 204 })
}
