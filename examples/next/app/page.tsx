// app/page.tsx
import { findSession } from '@/lib/auth'
import { notes } from '@/lib/notes'
import { addNote } from './actions'
import { Person } from './person'

export default async function Page() {
  const session = await findSession()
  return (
    <Person rendered={session?.user}>
      {session && (
        <form action={addNote}>
          <ul>
            {[...notes].map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
          <input name="text" aria-label="Note" required />
          <button type="submit">Add</button>
        </form>
      )}
    </Person>
  )
}
