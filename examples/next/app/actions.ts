// app/actions.ts
'use server'

import { revalidatePath } from 'next/cache'
import { findSession } from '@/lib/auth'
import { notes } from '@/lib/notes'

export async function addNote(form: FormData) {
  const session = await findSession()
  if (session?.user) notes.add(`${session.user.name}: ${form.get('text')}`)
  revalidatePath('/')
}
