// app/api/notes/route.ts
import { getWeb } from '@/lib/auth'
import { notes } from '@/lib/notes'

export async function DELETE(request: Request) {
  const auth = await getWeb().requireAuth(request)
  if (auth instanceof Response) return auth
  notes.clear()
  return new Response(null, { status: 204 })
}
