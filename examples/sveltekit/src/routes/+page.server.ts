// src/routes/+page.server.ts
import { notes } from '../notes.server.ts'
import type { Actions, PageServerLoad } from './$types'

export const load: PageServerLoad = ({ locals, setHeaders }) => {
  setHeaders({ 'cache-control': 'private, no-store' })
  return { rendered: locals.user, notes: locals.user ? [...notes] : [] }
}

export const actions: Actions = {
  async add({ locals, request }) {
    const form = await request.formData()
    if (locals.user) notes.add(`${locals.user.name}: ${form.get('text')}`)
  },
}
