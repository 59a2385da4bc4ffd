// The fetch client of this example, for a command line or another server: sign in once, call for a week.
// Run it beside the server: `npx node examples/express-body/client.ts`

import { createClient } from 'daypass/client'

export function createApi(baseUrl: string) {
  return createClient({ baseUrl, transport: 'body', refreshPath: 'refresh-token' })
}

if (import.meta.main) {
  const api = createApi('http://localhost:4000')
  await api.signIn({ name: 'ada', password: 'correct horse' })
  const response = await api.fetch('http://localhost:4000/protected')
  console.log(response.status, await response.json())
  await api.signOut()
}
