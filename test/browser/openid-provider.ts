// A real OpenID provider (oidc-provider) on 127.0.0.1, which is another site than localhost.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as oidc from 'openid-client'

/** Starts a provider for an app at `origin`. It lets anybody in under the name that they give, and asks for consent. */
export async function startProvider(t: { after(work: () => unknown): unknown }, origin: string) {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [client_id, client_secret] = ['app', 'a secret that the app and the provider share']
  // It has no types of its own.
  const name: string = 'oidc-provider'
  const { default: Provider } = await import(name)
  const openid = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [`${origin}/callback`] }],
    claims: { openid: ['sub'], profile: ['name'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['a key for the cookies of the provider'] },
    findAccount: (_: unknown, id: string) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} of the provider` }),
    }),
  })
  server.on('request', openid.callback())
  const execute = [oidc.allowInsecureRequests]
  return {
    issuer,
    configuration: await oidc.discovery(new URL(issuer), client_id, client_secret, undefined, { execute }),
  }
}
