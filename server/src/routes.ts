// The server's own routes: accounts, and sessions for back ends that hold the API key.

import { createHash, timingSafeEqual } from 'node:crypto'
import { type Claims, type Daypass, DaypassError } from 'daypass'
import type { CredentialsCall, Route, RouteRequest, RouteResponse, SignIn } from 'daypass/fastify'
import type { Account } from './account-store.ts'
import type { Accounts, Caller } from './accounts.ts'
import type { Config } from './config.ts'
import type { Devices } from './devices.ts'

interface Parts {
  config: Pick<Config, 'registration' | 'trial' | 'apiKey'>
  auth: Daypass
  accounts: Accounts
  devices: Devices
}

/** A sign-in with a password, and the stored hash that the password was checked against. */
export interface PasswordSignIn extends SignIn {
  passwordHash: string
}

/**
 * `/auth/login`, `/auth/register`, `/auth/me`, `/auth/password`, `/auth/offers` and `/admin/sessions`, as far as the settings
 * turn them on.
 */
export function serverRoutes({ config: { registration, trial, apiKey }, auth, accounts, devices }: Parts): Route[] {
  type CheckCredentials = (credentials: Record<string, unknown>, caller: Caller) => Promise<Account | null>
  /** Signs in the account that the credentials belong to. */
  const signInWith =
    (check: CheckCredentials) =>
    async ({ credentials, request, signIn }: CredentialsCall): Promise<RouteResponse> => {
      const { rememberMe = true } = credentials
      if (typeof rememberMe !== 'boolean') {
        throw new DaypassError('ERR_REQUEST_INVALID', '`rememberMe` must be true or false.')
      }
      const cookies = cookiesOf(request)
      const account = await check(credentials, {
        ip: request.ip ?? '',
        findDevices: (email) => devices.find(cookies, email),
      })
      if (account === null) throw new DaypassError('ERR_CREDENTIALS_INVALID')
      const { id, email, passwordHash } = account
      const person: PasswordSignIn = {
        subject: id,
        amr: ['pwd'],
        user: { id, email },
        persistent: rememberMe,
        passwordHash,
      }
      const response = await signIn(person)
      const session = response.headers?.['set-cookie']
      // A browser that is not to be remembered is not marked as known either.
      if (session === undefined || !rememberMe) return response
      const device = devices.remember(cookies, account, request.secure)
      return { ...response, headers: { ...response.headers, 'set-cookie': [session, device].flat() } }
    }

  const routes: Route[] = [
    { method: 'POST', path: '/auth/login', access: 'credentials', run: signInWith(accounts.signIn) },
    // The console shows no button that the settings have turned off.
    { method: 'GET', path: '/auth/offers', access: 'page', run: () => ({ body: { registration, trial } }) },
    {
      method: 'GET',
      path: '/auth/me',
      access: 'bearer',
      async run({ auth: { subject, sessionId, expiresAt, claims } }) {
        const email = (await accounts.find(subject))?.email
        return { body: { subject, sessionId, email, claims, expiresAt } }
      },
    },
    {
      method: 'POST',
      path: '/auth/password',
      access: 'bearer',
      async run({ auth: { subject, sessionId }, request, readBody }) {
        const account = await accounts.changePassword(subject, await readBody(), sessionId)
        const { ip, userAgent } = request
        await auth.revokeSubject(subject, { except: sessionId, reason: 'password', request: { ip, userAgent } })
        const cookies = cookiesOf(request)
        // The other browsers are not known any more.
        if (devices.find(cookies, account.email).length === 0) return {}
        return { headers: { 'set-cookie': devices.remember(cookies, account, request.secure) } }
      },
    },
  ]
  if (registration) {
    routes.push({ method: 'POST', path: '/auth/register', access: 'credentials', run: signInWith(accounts.register) })
  }
  if (apiKey !== undefined) {
    routes.push({
      method: 'POST',
      path: '/admin/sessions',
      access: 'custom',
      check: (request) => checkApiKey(request, apiKey),
      run: async ({ readBody }) => ({ body: await issueSession(auth, await readBody()) }),
    })
  }
  return routes
}

const cookiesOf = (request: RouteRequest) => request.headers('cookie').join('; ')

async function issueSession(auth: Daypass, { subject, claims = {} }: Record<string, unknown>) {
  if (typeof subject !== 'string' || typeof claims !== 'object' || claims === null || Array.isArray(claims)) {
    throw new DaypassError('ERR_REQUEST_INVALID', 'Send `subject`, a string, and `claims`, an object.')
  }
  try {
    return await auth.issue(subject, { claims: claims as Claims })
  } catch (error) {
    // In a library this is a fault of the app's code, but here it is the caller's.
    if (!(error instanceof DaypassError) || error.status !== 500) throw error
    throw new DaypassError('ERR_REQUEST_INVALID', error.message)
  }
}

function checkApiKey(request: RouteRequest, apiKey: string): void {
  const [authorization, ...more] = request.headers('authorization')
  if (more.length > 0) throw new DaypassError('ERR_REQUEST_INVALID', 'Send one Authorization header.')
  const text = 'Send Authorization: Bearer with the DAYPASS_API_KEY.'
  if (authorization === undefined) throw new DaypassError('ERR_ACCESS_TOKEN_MISSING', text)
  const given = /^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? ''
  const digest = (value: string) => createHash('sha256').update(value).digest()
  if (!timingSafeEqual(digest(given), digest(apiKey))) throw new DaypassError('ERR_ACCESS_TOKEN_INVALID', text)
}
