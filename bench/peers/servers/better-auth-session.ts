// better-auth's look-up of a session, GET /api/auth/get-session: `better-auth-session.ts memory:|PATH [cookie-cache]`.

import { betterAuth } from 'better-auth'
import { toNodeHandler } from 'better-auth/node'
import { withDatabase } from './better-auth-database.ts'
import { cookiesOf, issuer, secret, serve } from './serve.ts'

const [path = 'memory:', cache] = process.argv.slice(2)
const options = await withDatabase(path, {
  baseURL: issuer,
  secret,
  // None of the servers limits rates.
  rateLimit: { enabled: false },
  // A sign-in is not measured, so no time goes into passwords.
  emailAndPassword: {
    enabled: true,
    password: { hash: async (password: string) => password, verify: async () => true },
  },
  session: { cookieCache: { enabled: cache === 'cookie-cache', maxAge: 5 * 60 } },
})
const auth = betterAuth(options)

serve(toNodeHandler(auth), async (name) => {
  const body = { name, email: `${name}@example.com`, password: 'a password of a benchmark' }
  const response = await auth.api.signUpEmail({ body, asResponse: true })
  return cookiesOf(response.headers.getSetCookie())
})
