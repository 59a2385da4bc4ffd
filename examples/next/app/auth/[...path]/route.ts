// app/auth/[...path]/route.ts
import { getWeb } from '@/lib/auth'

const respond = async (request: Request) => (await getWeb().routes(request)) ?? new Response(null, { status: 404 })

export { respond as DELETE, respond as GET, respond as OPTIONS, respond as PATCH, respond as POST }
