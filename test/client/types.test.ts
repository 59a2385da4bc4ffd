// The types that a client takes from the type of its server. Checked by tsc: each @ts-expect-error must be an error.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createExpressAuth } from '../../src/adapters/express.ts'
import { createFastifyAuth } from '../../src/adapters/fastify.ts'
import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createNodeAuth } from '../../src/adapters/node.ts'
import { attachDaypass } from '../../src/client/axios.ts'
import { createClient, type DaypassClient } from '../../src/client/index.ts'
import { useSession } from '../../src/client/react.ts'
import { openSocket, streamEvents } from '../../src/client/streams.ts'
import { createDaypass, type Daypass } from '../../src/index.ts'

test('tsc agrees with every line below', () => {
  const root = join(import.meta.dirname, '../..')
  const folder = join(root, 'node_modules/.cache/daypass-types')
  mkdirSync(folder, { recursive: true })
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { types: ['node'], typeRoots: [join(root, 'node_modules/@types')], noUnusedLocals: false },
    files: [import.meta.filename],
    include: [],
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
  const { stdout, status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder], { encoding: 'utf8' })
  assert.equal(status, 0, stdout)
})

/** Exactly the same type. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const isTrue = <_ extends true>() => {}

const options = { baseUrl: 'https://api.example.com/auth' }
interface Claims {
  role: 'admin' | 'guest'
}
interface Login {
  email: string
  password: string
}
interface User {
  name: string
}

/** Never called: it is for tsc alone. */
export async function check(): Promise<void> {
  const auth = createDaypass<Claims>({ secret: '', issuer: '', store: null as never })

  // By createDaypass: the claims.
  const byAuth = createClient<typeof auth>(options)
  isTrue<Same<typeof byAuth, DaypassClient<Claims, object, unknown>>>()
  const role: 'admin' | 'guest' | undefined = byAuth.getSession().session?.claims.role
  // @ts-expect-error: there is no such claim.
  byAuth.getSession().session?.claims.rank
  // @ts-expect-error: no such role.
  role === 'king'
  await byAuth.signIn({ any: 'thing' })

  // By an adapter: the credentials and the user too.
  const authenticate = async ({ email }: Login) =>
    email === '' ? null : { subject: email, claims: { role: 'guest' } as Claims, user: { name: email } as User }
  const express = createExpressAuth(auth, { authenticate })
  const node = createNodeAuth(auth, { authenticate })
  const web = createFetchAuth(auth, { authenticate })
  const client = createClient<typeof express>(options)
  isTrue<Same<typeof client, DaypassClient<Claims, Login, User>>>()
  const byNode = createClient<typeof node>(options)
  isTrue<Same<typeof byNode, DaypassClient<Claims, Login, User>>>()
  const byFetch = createClient<typeof web>(options)
  isTrue<Same<typeof byFetch, DaypassClient<Claims, Login, User>>>()

  const { session, user } = await client.signIn({ email: '', password: '' })
  const name: string | undefined = user?.name
  const same: Claims['role'] | undefined = session?.claims.role
  // @ts-expect-error: a password is wanted.
  await client.signIn({ email: '' })
  // @ts-expect-error: it is text.
  await client.signIn({ email: '', password: 7 })
  // Another route has credentials of its own.
  await client.signIn({ invitation: '' }, { path: 'register' })

  // All that takes a client takes this one, and useSession knows the claims.
  const seen: Claims['role'] | undefined = useSession(client).session?.claims.role
  attachDaypass(null as never, client)
  streamEvents(client, '')
  openSocket(client, { open: () => new WebSocket('') })
  const plain: DaypassClient<Claims> = byAuth

  // Without a server's type, and without an `authenticate`: anything goes, and nothing is promised.
  const free = createClient(options)
  isTrue<Same<typeof free, DaypassClient>>()
  await free.signIn({ any: 'thing' })
  const claim: unknown = free.getSession().session?.claims.anything
  // @ts-expect-error: nobody knows.
  const text: string = free.getSession().session?.claims.anything
  const bare = createClient<Daypass>(options)
  isTrue<Same<typeof bare, DaypassClient>>()

  // An authenticate that names no type gets what JSON may be; its claims are checked as before.
  createExpressAuth(auth, {
    authenticate({ email }) {
      isTrue<Same<typeof email, unknown>>()
      return { subject: 'ada', claims: { role: 'admin' } }
    },
  })
  console.log(name, same, seen, plain, claim, text)
}

/** The user, from `findSubject` or from a sign-in. */
export async function checkUser(): Promise<void> {
  const given = { secret: '', issuer: '', store: null as never }
  const found: User = { name: 'Ada' }
  const findSubject = async () => ({ claims: { role: 'guest' as const }, user: found })
  const auth = createDaypass<Claims, User>({ ...given, findSubject })
  isTrue<Same<typeof auth, Daypass<Claims, true, User>>>()
  const byAuth = createClient<typeof auth>(options)
  isTrue<Same<typeof byAuth, DaypassClient<Claims, object, User>>>()
  const texts: (string | undefined)[] = [
    byAuth.getSession().user?.name,
    useSession(byAuth).user?.name,
    (await byAuth.signIn({})).user?.name,
    (await auth.refresh('')).user?.name,
    (await auth.issue('')).user?.name,
    (await auth.findSession(''))?.user?.name,
  ]
  // @ts-expect-error: there is no such member.
  byAuth.getSession().user?.rank
  // @ts-expect-error: the user has a name.
  createDaypass<Claims, User>({ ...given, findSubject: () => ({ claims: { role: 'guest' }, user: {} }) })

  // Neither type needs to be written: both follow from findSubject.
  const inferred = createDaypass({ ...given, findSubject })
  isTrue<Same<typeof inferred, Daypass<{ role: 'guest' }, true, User>>>()

  // Every adapter hands the type on, and takes no sign-in with another user.
  const authenticate = ({ email }: Login) => ({ subject: email })
  const express = createExpressAuth(auth, { authenticate })
  const fastify = createFastifyAuth(auth, { authenticate })
  const node = createNodeAuth(auth, { authenticate })
  const web = createFetchAuth(auth, { authenticate })
  const byExpress = createClient<typeof express>(options)
  isTrue<Same<typeof byExpress, DaypassClient<Claims, Login, User>>>()
  const byFastify = createClient<typeof fastify>(options)
  isTrue<Same<typeof byFastify, DaypassClient<Claims, Login, User>>>()
  const byNode = createClient<typeof node>(options)
  isTrue<Same<typeof byNode, DaypassClient<Claims, Login, User>>>()
  const byFetch = createClient<typeof web>(options)
  isTrue<Same<typeof byFetch, DaypassClient<Claims, Login, User>>>()
  const [req, res, request] = [null as never, null as never, new Request('')]
  texts.push((await web.findSession(request))?.user?.name)
  await web.signIn(request, { subject: '', user: { name: '' } })
  // @ts-expect-error: a name is text.
  await web.signIn(request, { subject: '', user: { name: 1 } })
  // @ts-expect-error: a name is text.
  createNodeAuth(auth, { authenticate: () => ({ subject: '', user: { name: 1 } }) })
  console.log(texts)

  // Where findSubject finds the claims, a sign-in needs none. Those that it brings have their type.
  await express.signIn(req, res, { subject: '' })
  await fastify.signIn(req, res, { subject: '' })
  await node.signIn(req, res, { subject: '' })
  await web.signIn(request, { subject: '' })
  // @ts-expect-error: no such role.
  await web.signIn(request, { subject: '', claims: { role: 'king' } })
}

/** The claims of a sign-in, where their type has a required member and nothing finds them. */
export async function checkClaims(): Promise<void> {
  const auth = createDaypass<Claims>({ secret: '', issuer: '', store: null as never })
  const claims: Claims = { role: 'guest' }
  const [req, res, request] = [null as never, null as never, new Request('')]
  const express = createExpressAuth(auth)
  await express.signIn(req, res, { subject: '', claims })
  // @ts-expect-error: a role is required.
  await express.signIn(req, res, { subject: '' })
  // @ts-expect-error: a role is required.
  createExpressAuth(auth, { authenticate: () => ({ subject: '' }) })
  const fastify = createFastifyAuth(auth)
  await fastify.signIn(req, res, { subject: '', claims })
  // @ts-expect-error: a role is required.
  await fastify.signIn(req, res, { subject: '' })
  // @ts-expect-error: a role is required.
  createFastifyAuth(auth, { authenticate: async () => ({ subject: '' }) })
  const node = createNodeAuth(auth)
  await node.signIn(req, res, { subject: '', claims })
  // @ts-expect-error: a role is required.
  await node.signIn(req, res, { subject: '' })
  // @ts-expect-error: a role is required.
  createNodeAuth(auth, { authenticate: () => ({ subject: '' }) })
  const web = createFetchAuth(auth)
  await web.signIn(request, { subject: '', claims })
  // @ts-expect-error: a role is required.
  await web.signIn(request, { subject: '' })
  // @ts-expect-error: a role is required.
  createFetchAuth(auth, { authenticate: () => ({ subject: '' }) })
  createFetchAuth(auth, {
    routes: [
      {
        method: 'POST',
        path: '/register',
        access: 'credentials',
        // @ts-expect-error: a role is required.
        run: ({ signIn }) => signIn({ subject: '' }),
      },
    ],
  })

  // Claims without required members may be left out.
  const open = createDaypass<{ nickname?: string }>({ secret: '', issuer: '', store: null as never })
  await createFetchAuth(open, { authenticate: () => ({ subject: '' }) }).signIn(request, { subject: '' })

  // After a bare requireAuth() the claims have their type.
  const token = await node.requireAuth()(req, res)
  isTrue<Same<NonNullable<typeof token>['claims']['role'], Claims['role']>>()
  const access = await web.requireAuth()(request)
  if (!(access instanceof Response)) isTrue<Same<(typeof access)['claims']['role'], Claims['role']>>()
}
