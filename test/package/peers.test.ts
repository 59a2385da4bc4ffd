// The optional peers in package.json: each has a range of versions, is marked as optional, and works as the only one.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const { dependencies, peerDependencies, peerDependenciesMeta } = JSON.parse(
  readFileSync(join(root, 'package.json'), 'utf8'),
) as Record<string, Record<string, unknown>>

test('every peer has a range, and is optional', () => {
  assert.deepEqual(Object.keys(peerDependenciesMeta!).sort(), Object.keys(peerDependencies!).sort())
  for (const meta of Object.values(peerDependenciesMeta!)) assert.deepEqual(meta, { optional: true })
})

test('every package that src imports is the one dependency or a peer', () => {
  const known = new Set([...Object.keys(dependencies!), ...Object.keys(peerDependencies!)])
  const imported = new Set<string>()
  for (const file of globSync('src/**/*.ts', { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, name] of text.matchAll(
      /^(?:import|export|\})[^'"\n]* from '((?:@[\w-]+\/)?[a-z][\w.-]*)(?:\/[^']*)?'/gm,
    )) {
      imported.add(name!)
    }
  }
  assert.ok(imported.size > 5, [...imported].join(', '))
  assert.deepEqual(
    [...imported].filter((name) => !known.has(name)),
    [],
  )
})

/** An app that gives each peer what it has of Daypass, or Daypass what it has of the peer. */
const apps: Record<string, string> = {
  '@libsql/client': `import { createClient } from '@libsql/client'
    import { createLibsqlStore } from 'daypass/libsql'
    createLibsqlStore(createClient({ url: 'file:x' }))`,
  '@nestjs/common': `import { Controller } from '@nestjs/common'
    import { createNestAuth, DaypassModule, RequireAuth } from 'daypass/nest'
    export const module = DaypassModule.forRoot(createNestAuth(auth))
    export const decorators = [Controller(), RequireAuth()]`,
  '@nestjs/core': `import { APP_GUARD } from '@nestjs/core'
    import { DaypassGuard } from 'daypass/nest'
    export const provider = { provide: APP_GUARD, useClass: DaypassGuard }`,
  axios: `import axios from 'axios'
    import { attachDaypass } from 'daypass/axios'
    import { createClient } from 'daypass/client'
    attachDaypass(axios.create(), createClient({ baseUrl: '/auth' }))`,
  express: `import express from 'express'
    import { createExpressAuth } from 'daypass/express'
    const web = createExpressAuth(auth)
    express().use(web.routes).get('/me', web.requireAuth((req, res) => res.json(req.auth.subject)))`,
  fastify: `import { fastify } from 'fastify'
    import { createFastifyAuth } from 'daypass/fastify'
    const web = createFastifyAuth(auth)
    const app = fastify()
    app.register(web.routes)
    app.get('/me', web.requireAuth((request) => request.auth.subject))`,
  hono: `import { Hono } from 'hono'
    import { createHonoAuth } from 'daypass/hono'
    const web = createHonoAuth(auth)
    new Hono().use(web.routes).get('/me', web.requireAuth, (c) => c.json(c.get('auth').subject))`,
  ioredis: `import { Redis } from 'ioredis'
    import { createRedisStore } from 'daypass/redis'
    createRedisStore(new Redis())`,
  koa: `import Koa from 'koa'
    import { createKoaAuth } from 'daypass/koa'
    new Koa().use(createKoaAuth(auth).routes)`,
  mongodb: `import { MongoClient } from 'mongodb'
    import { createMongoStore } from 'daypass/mongodb'
    createMongoStore(new MongoClient('mongodb://x').db())`,
  mongoose: `import mongoose from 'mongoose'
    import { createMongoStore } from 'daypass/mongodb'
    createMongoStore(mongoose.connection)`,
  mysql2: `import mysql from 'mysql2/promise'
    import { createPool } from 'mysql2'
    import { createMysqlStore } from 'daypass/mysql'
    createMysqlStore(mysql.createPool('mysql://x'))
    createMysqlStore(createPool('mysql://x'))`,
  pg: `import pg from 'pg'
    import { createPostgresStore } from 'daypass/postgres'
    createPostgresStore(new pg.Pool())`,
  postgres: `import postgres from 'postgres'
    import { createPostgresStore } from 'daypass/postgres'
    createPostgresStore(postgres())`,
  react: `import { createElement } from 'react'
    import { createClient } from 'daypass/client'
    import { useSession } from 'daypass/react'
    const session = createClient({ baseUrl: '/auth' })
    export const Who = () => createElement('p', null, useSession(session).session?.subject)`,
  redis: `import { createClient } from 'redis'
    import { createRedisStore } from 'daypass/redis'
    createRedisStore(createClient())`,
}

/** Packages that have the types of a peer, and peers that need one another. */
const companions: Record<string, string[]> = {
  '@nestjs/common': ['@nestjs/core'],
  '@nestjs/core': ['@nestjs/common'],
  express: ['@types/express'],
  koa: ['@types/koa'],
  pg: ['@types/pg'],
  react: ['@types/react'],
}

test('there is an app for every peer', () => assert.deepEqual(Object.keys(apps).sort(), Object.keys(peerDependencies!)))

for (const [peer, code] of Object.entries(apps)) {
  test(`its types compile where ${peer} is the only peer, without skipLibCheck`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'daypass-peer-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const modules = join(folder, 'node_modules')
    // A copy: through a link, its imports would be found in the repository.
    cpSync(join(root, 'dist'), join(modules, 'daypass/dist'), { recursive: true })
    cpSync(join(root, 'package.json'), join(modules, 'daypass/package.json'))
    for (const name of ['jose', '@types/node', 'undici-types', peer, ...(companions[peer] ?? [])]) {
      mkdirSync(dirname(join(modules, name)), { recursive: true })
      symlinkSync(join(root, 'node_modules', name), join(modules, name))
    }
    const head = `import type { Daypass } from 'daypass'\ndeclare const auth: Daypass\nvoid auth\n`
    writeFileSync(join(folder, 'app.ts'), head + code)
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    const compilerOptions = { strict: true, noEmit: true, module: 'nodenext', target: 'es2023', types: ['node'] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
    const output = await run(join(root, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd: folder }).then(
      () => '',
      ({ stdout }) => stdout as string,
    )
    // What the peer's own types say of themselves is not ours.
    const ours = output.split('\n').filter((line) => /^(?:app\.ts|node_modules\/daypass\/)/.test(line))
    assert.deepEqual(ours, [])
  })
}
