// app/person.tsx
'use client'

import { createClient, isSignInFailed } from 'daypass/client'
import { useSession } from 'daypass/react'
import { useRouter } from 'next/navigation'
import { type ReactNode, useActionState, useEffect } from 'react'
import type { Web } from '@/lib/auth'

const client = createClient<Web>({ baseUrl: '/auth' })

/** The page of a person, or the sign-in. `rendered` is the person that the server rendered. */
export function Person({ rendered, children }: { rendered?: { id: string; name: string }; children: ReactNode }) {
  const router = useRouter()
  // The server's word counts until the client knows better, also while there is no network.
  const { status, user = status === 'signed-out' ? undefined : rendered } = useSession(client)
  const isCurrent = user?.id === rendered?.id
  // Somebody signed in or out since the page was rendered, here or in another tab.
  useEffect(() => {
    if (!isCurrent) router.refresh()
  }, [isCurrent, router])

  const [message, signIn] = useActionState(async (_: string, form: FormData) => {
    try {
      await client.signIn({ name: form.get('name'), password: form.get('password') })
      return ''
    } catch (error) {
      if (isSignInFailed(error)) return 'Wrong name or password.'
      return 'The server is not available. Try again.'
    }
  }, '')
  async function signOut() {
    await client.signOut()
    router.refresh()
  }
  async function deleteNotes() {
    await client.fetch('/api/notes', { method: 'DELETE' })
    router.refresh()
  }

  if (!user) {
    return (
      <form action={signIn}>
        <input name="name" aria-label="Name" autoComplete="username" required />
        <input name="password" aria-label="Password" type="password" autoComplete="current-password" required />
        <button type="submit">Sign in</button>
        <p role="alert">{message}</p>
      </form>
    )
  }
  return (
    <>
      <h1>Hello {user.name}</h1>
      {isCurrent && children}
      <button type="button" onClick={deleteNotes}>
        Delete the notes
      </button>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </>
  )
}
