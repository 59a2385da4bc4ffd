// proxy.ts
import { type NextRequest, NextResponse } from 'next/server'
import { getWeb } from '@/lib/auth'

/** Leads those who are not signed in to the sign-in. */
export async function proxy(request: NextRequest) {
  if ((await getWeb().findSession(request)) === null) return NextResponse.redirect(new URL('/', request.url))
}

export const config = { matcher: '/private/:path*' }
