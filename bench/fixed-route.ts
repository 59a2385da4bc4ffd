// A route that answers as many bytes as a refresh does, without the work of one.

import type { Route } from '../src/http/route.ts'

export const fixedResponse = { tokens: 'x'.repeat(600), tokenType: 'Bearer', expiresIn: 900 }

export const fixedRoute: Route = {
  method: 'POST',
  path: '/auth/fixed',
  access: 'page',
  async run({ readBody }) {
    await readBody()
    return { body: fixedResponse }
  },
}
