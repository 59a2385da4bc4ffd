// better-auth's OAuth provider: the refresh_token grant of a public client, with access tokens as JWTs (a `resource` makes
// them so) that its jwt plugin signs with EdDSA, the default: `better-auth-oauth.ts memory:|PATH`.

import { createHash, randomBytes } from 'node:crypto'
import { oauthProvider } from '@better-auth/oauth-provider'
import { betterAuth } from 'better-auth'
import { toNodeHandler } from 'better-auth/node'
import { jwt } from 'better-auth/plugins'
import { withDatabase } from './better-auth-database.ts'
import { issuer, secret, serve } from './serve.ts'

const resource = 'https://api.example.com'
const scopes = ['offline_access', 'read']
const options = await withDatabase(process.argv[2] ?? 'memory:', {
  baseURL: issuer,
  secret,
  // None of the servers limits rates.
  rateLimit: { enabled: false },
  disabledPaths: ['/token'],
  plugins: [
    jwt(),
    oauthProvider({
      loginPage: '/sign-in',
      consentPage: '/consent',
      scopes: ['openid', ...scopes],
      resources: [resource],
    }),
  ],
})
const auth = betterAuth(options)
const { adapter, internalAdapter } = await auth.$context
await adapter.create({
  model: 'oauthClient',
  data: {
    clientId: 'bench',
    public: true,
    tokenEndpointAuthMethod: 'none',
    grantTypes: ['authorization_code', 'refresh_token'],
    redirectUris: ['https://app.example.com/callback'],
    scopes,
    createdAt: new Date(),
    updatedAt: new Date(),
  },
})
await adapter.create({ model: 'oauthClientResource', data: { clientId: 'bench', resourceId: resource } })

// What the authorization_code grant stores.
serve(toNodeHandler(auth), async (name) => {
  const user = await internalAdapter.createUser({ name, email: `${name}@example.com`, emailVerified: true })
  const session = await internalAdapter.createSession(user.id)
  const token = randomBytes(24).toString('base64url')
  await adapter.create({
    model: 'oauthRefreshToken',
    data: {
      token: createHash('sha256').update(token).digest('base64url'),
      clientId: 'bench',
      sessionId: session.id,
      userId: user.id,
      scopes,
      resources: [resource],
      authTime: new Date(),
      createdAt: new Date(),
      expiresAt: new Date(Date.now() + 30 * 24 * 3600 * 1000),
    },
  })
  return token
})
