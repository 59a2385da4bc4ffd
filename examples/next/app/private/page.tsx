// app/private/page.tsx
import { findSession } from '@/lib/auth'

export default async function Private() {
  const session = await findSession()
  // The proxy has checked the same. A page that shows something private checks it itself.
  return session && <h1>Only for {session.user?.name}</h1>
}
