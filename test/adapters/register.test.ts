// `Register`: the claims of `req.auth` after a bare `requireAuth()`, in Express and Fastify.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

/** Apps in one file each, because a registration holds for a whole program. Each @ts-expect-error must be an error. */
const handlers = {
  express: `
    web.routes
    app.get('/a', web.requireAuth(), (req, res) => {
      const role: 'admin' | 'guest' | undefined = req.auth?.claims.role
      res.json({ role, subject: req.auth?.subject })
    })
    app.get('/b', web.requireAuth(), (req, res) => {
      // @ts-expect-error: it is there after requireAuth() alone.
      res.json(req.auth.subject)
      // @ts-expect-error: there is no such claim.
      res.json(req.auth?.claims.rank)
    })`,
  fastify: `
    app.register(web.routes)
    app.get('/a', { preHandler: web.requireAuth() }, async (request) => {
      const role: 'admin' | 'guest' | undefined = request.auth?.claims.role
      return role
    })
    app.get('/b', { preHandler: web.requireAuth() }, async (request) => {
      // @ts-expect-error: there is no such claim.
      return request.auth?.claims.rank
    })`,
}
const unregistered = {
  express: `
    app.get('/a', (req, res) => {
      // @ts-expect-error: its type is unknown without a registration.
      const role: string | undefined = req.auth?.claims.role
      res.json(role)
    })`,
  fastify: `
    app.get('/a', async (request) => {
      // @ts-expect-error: its type is unknown without a registration.
      const role: string | undefined = request.auth?.claims.role
      return role
    })`,
}

for (const [name, create] of [
  ['express', 'createExpressAuth'],
  ['fastify', 'createFastifyAuth'],
] as const) {
  test(`${name}: the claims of the registered adapter, and unknown ones without it`, () => {
    const folder = join(root, `node_modules/.cache/daypass-register-${name}`)
    rmSync(folder, { recursive: true, force: true })
    const app = (registration: string, body: string) => `
      import ${name} from '${name}'
      import { createDaypass } from 'daypass'
      import { ${create} } from 'daypass/${name}'
      import { createMemoryStore } from 'daypass/memory'
      const auth = createDaypass<{ role: 'admin' | 'guest' }>({ secret: '', issuer: '', store: createMemoryStore() })
      const web = ${create}(auth, { authenticate: () => null })
      const app = ${name}()
      ${registration}
      ${body}
    `
    const register = `declare module 'daypass/${name}' { interface Register { web: typeof web } }`
    for (const [kind, text] of Object.entries({
      registered: app(register, handlers[name]),
      unregistered: app('', unregistered[name]),
    })) {
      const own = join(folder, kind)
      mkdirSync(own, { recursive: true })
      writeFileSync(join(own, 'app.ts'), text)
      const types = { types: ['node'], typeRoots: [join(root, 'node_modules/@types')], noUnusedLocals: false }
      const config = { extends: join(root, 'tsconfig.json'), compilerOptions: types, include: ['app.ts'], exclude: [] }
      writeFileSync(join(own, 'tsconfig.json'), JSON.stringify(config))
      const { stdout, status } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', own], { encoding: 'utf8' })
      assert.equal(status, 0, `${kind}\n${stdout}`)
    }
  })
}
