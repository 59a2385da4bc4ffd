// Sign-in at Google or any other OpenID provider, with openid-client. The page shows who is signed in.
// Run it: `npm run build && npx node examples/google-style-login/server.ts`, with DAYPASS_SECRET, OIDC_CLIENT_ID and
// OIDC_CLIENT_SECRET set, and OIDC_ISSUER if it is not Google. The provider must know http://localhost:4003/callback.

import { join } from 'node:path'
import { createDaypass } from 'daypass'
import { createExpressAuth } from 'daypass/express'
import { createSqliteStore } from 'daypass/sqlite'
import express, { type Request } from 'express'
import * as oidc from 'openid-client'

export interface AppOptions {
  /** The address of this app, as browsers see it. */
  origin: string
  secret: string
  database: string
  provider: oidc.Configuration
  sameSite?: 'strict' | 'lax'
}

/** What the callback must prove: that this browser began the sign-in. Kept in a cookie for ten minutes. */
interface Attempt {
  state: string
  nonce: string
  verifier: string
  next: string
}

export function createApp({ origin, secret, database, provider, sameSite = 'lax' }: AppOptions) {
  const auth = createDaypass<{ name: string }>({ secret, issuer: origin, store: createSqliteStore(database) })
  const web = createExpressAuth(auth, { cookie: { sameSite } })
  // SameSite=Lax: browsers send it with the callback, which is a GET from another site. `__Host-`, which needs https: no
  // other host of the site can plant one.
  const secure = origin.startsWith('https:')
  const attemptName = secure ? '__Host-attempt' : 'attempt'
  const attemptCookie = { httpOnly: true, sameSite: 'lax', secure, path: '/' } as const

  const app = express()
  app.use(web.routes)

  app.get('/login', async (req, res) => {
    const attempt: Attempt = {
      state: oidc.randomState(),
      nonce: oidc.randomNonce(),
      verifier: oidc.randomPKCECodeVerifier(),
      next: String(req.query.next ?? '/'),
    }
    res.cookie(attemptName, JSON.stringify(attempt), { ...attemptCookie, maxAge: 600_000 })
    const address = oidc.buildAuthorizationUrl(provider, {
      redirect_uri: `${origin}/callback`,
      scope: 'openid profile',
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
    })
    res.redirect(303, address.href)
  })

  // Express runs the handler of a GET for a HEAD, too. It would use up the code, and begin no session.
  app.head('/callback', (_req, res) => void res.set('allow', 'GET').sendStatus(405))
  app.get('/callback', async (req, res) => {
    res.clearCookie(attemptName, attemptCookie)
    const claims = await finishLogin(req).catch((error) => void console.error('sign-in failed:', error.message))
    if (!claims) return res.redirect(303, '/?failed')
    const { next } = readAttempt(req, attemptName)
    const person = { subject: claims.sub, claims: { name: String(claims.name ?? claims.sub) } }
    await web.signIn(req, res, person, { redirect: [next, '/'] })
  })

  /** Trades the code for the ID token, and returns its claims. Throws unless this browser began the sign-in. */
  async function finishLogin(req: Request) {
    const { state, nonce, verifier } = readAttempt(req, attemptName)
    const tokens = await oidc.authorizationCodeGrant(provider, new URL(req.originalUrl, origin), {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: verifier,
      idTokenExpected: true,
    })
    return tokens.claims()
  }

  app.get(
    '/me',
    web.requireAuth((req, res) => res.json({ subject: req.auth.subject, name: req.auth.claims.name })),
  )

  app.get('/', async (req, res) => {
    const session = await web.findSession(req)
    res.set('cache-control', 'private, no-store').send(page(session ? `Hello ${session.claims.name}` : ''))
  })
  app.use('/daypass', express.static(join(import.meta.dirname, '../../dist/client')))
  return { app, auth }
}

function readAttempt(req: Request, name: string): Attempt {
  const text = req.headers.cookie
    ?.split('; ')
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1)
  if (text === undefined) throw new Error('no sign-in was begun in this browser')
  return JSON.parse(decodeURIComponent(text))
}

const escapeHtml = (text: string) => text.replaceAll(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)

/** The page. The server says who is signed in at first paint, and the client from then on. */
const page = (first: string) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Sign in</title>
  <script type="importmap">{ "imports": { "daypass/client": "/daypass/index.js" } }</script>
  <h1 id="who">${escapeHtml(first)}</h1>
  <a id="login" href="/login">Sign in</a>
  <button id="logout" type="button">Sign out</button>
  <pre id="me"></pre>
  <script type="module">
    import { createClient } from 'daypass/client'

    const client = createClient({ baseUrl: '/auth' })
    const show = async () => {
      const { session, status } = client.getSession()
      if (session) who.textContent = 'Hello ' + session.claims.name
      else if (status === 'signed-out') who.textContent = 'Nobody is signed in'
      if (status === 'signed-in') me.textContent = await (await client.fetch('/me')).text()
    }
    // The sign-in was made by the server, so ask, also if this browser remembers a sign-out.
    client.getAccessToken({ forceFresh: true }).catch(() => {})
    client.subscribe(show)
    logout.onclick = () => client.signOut()
  </script>
</html>`

if (import.meta.main) {
  const { DAYPASS_SECRET: secret, OIDC_ISSUER: issuer = 'https://accounts.google.com', ...env } = process.env
  if (!secret || !env.OIDC_CLIENT_ID) {
    throw new Error('Set OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, and DAYPASS_SECRET: $(openssl rand -base64 48)')
  }
  const provider = await oidc.discovery(new URL(issuer), env.OIDC_CLIENT_ID, env.OIDC_CLIENT_SECRET)
  const origin = env.ORIGIN ?? 'http://localhost:4003'
  const { app } = createApp({ origin, secret, database: './data/google-style-login.db', provider })
  app.listen(4003, () => console.log(origin))
}
