// oidc-provider: the refresh_token grant of a public client, which rotates by default, with access tokens as JWTs.
//
// Its adapter in memory is for tests, and forgets all but 1,000 rows. This one is a Map for each model: the fastest there
// can be. The user's grant is looked up at each refresh, as the library does.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import * as oidc from 'oidc-provider'
import { issuer, serve } from './serve.ts'

class MapAdapter {
  rows = new Map<string, any>()
  async upsert(id: string, payload: object) {
    this.rows.set(id, payload)
  }
  async find(id: string) {
    return this.rows.get(id)
  }
  async consume(id: string) {
    this.rows.get(id).consumed = Math.floor(Date.now() / 1000)
  }
  async destroy(id: string) {
    this.rows.delete(id)
  }
  async revokeByGrantId(grantId: string) {
    for (const [id, row] of this.rows) if (row.grantId === grantId) this.rows.delete(id)
  }
}

const resource = 'https://api.example.com'
const key = randomBytes(32)
// For ID tokens, which this job does not ask for.
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const provider = new oidc.Provider(issuer, {
  adapter: MapAdapter,
  jwks: { keys: [privateKey.export({ format: 'jwk' })] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  clients: [
    {
      client_id: 'bench',
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['https://app.example.com/callback'],
    },
  ],
  findAccount: (_ctx: unknown, accountId: string) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: 'read',
        audience: resource,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 900,
        jwt: { sign: { alg: 'HS256', key } },
      }),
    },
  },
})
provider.on('server_error', (_ctx: unknown, error: unknown) => console.error(error))

serve(provider.callback(), async (accountId) => {
  const client = await provider.Client.find('bench')
  const grant = new provider.Grant({ accountId, clientId: 'bench' })
  grant.addOIDCScope('offline_access')
  grant.addResourceScope(resource, 'read')
  const grantId = await grant.save()
  const refreshToken = new provider.RefreshToken({
    accountId,
    client,
    grantId,
    gty: 'authorization_code',
    scope: 'offline_access read',
    resource,
    authTime: Math.floor(Date.now() / 1000),
  })
  return refreshToken.save()
})
