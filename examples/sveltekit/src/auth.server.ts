// src/auth.server.ts
import { createDaypass } from 'daypass'
import { createFetchAuth } from 'daypass/fetch'
import { createSqliteStore } from 'daypass/sqlite'

const users = new Map([['1', { name: 'Ada', role: 'admin' }]])

function createWeb() {
  const auth = createDaypass<{ role: string }, { id: string; name: string }>({
    secret: process.env.DAYPASS_SECRET ?? '',
    issuer: 'https://example.com',
    store: createSqliteStore(process.env.DATABASE_PATH ?? './data/daypass.db'),
    accessTokenLifetime: Number(process.env.ACCESS_TOKEN_LIFETIME ?? 900),
    findSubject: (id) => {
      const user = users.get(id)
      return user && { claims: { role: user.role }, user: { id, name: user.name } }
    },
  })
  return createFetchAuth(auth, {
    cookie: { sameSite: 'lax' },
    authenticate: ({ name, password }) => (name === 'ada' && password === 'secret' ? { subject: '1' } : null),
  })
}

export type Web = ReturnType<typeof createWeb>
let web: Web | undefined

/** Made at the first request: `vite build` loads this module, too, and has no secret and no database. */
export function getWeb(): Web {
  web ??= createWeb()
  return web
}
