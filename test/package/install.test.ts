// The packed package works in an empty project.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
// The Node that runs this test is first in PATH, as after `npm ci`.
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }
let project: string

before(
  async () => {
    project = mkdtempSync(join(tmpdir(), 'daypass-install-'))
    await run('npm', ['pack', '--ignore-scripts', '--pack-destination', project], { cwd: root, env })
    const tarball = readdirSync(project).find((name) => name.endsWith('.tgz'))!
    writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }')
    await run('npm', ['install', '--prefer-offline', `./${tarball}`], { cwd: project, env })
  },
  { timeout: 120_000 },
)
after(() => rmSync(project, { recursive: true, force: true }))

async function node(code: string): Promise<string> {
  const file = join(project, 'try.js')
  writeFileSync(file, code)
  return (await run(process.execPath, ['--disable-warning=ExperimentalWarning', file], { cwd: project, env })).stdout
}

test('it installs jose and nothing else', () => {
  const names = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
  assert.deepEqual(names.sort(), ['daypass', 'jose'])
})

test('every subpath can be imported, with exactly the names that are documented', async () => {
  const paths = Object.keys(exports).filter((path) => path !== './package.json')
  const names: Record<string, string[]> = {}
  // An app that imports daypass/react has React installed, and one that imports daypass/nest has NestJS.
  for (const name of ['react', '@nestjs'])
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name))
  for (const path of paths) {
    const name = path.replace(/^\./, 'daypass')
    names[name] = JSON.parse(await node(`import * as it from '${name}'; console.log(JSON.stringify(Object.keys(it)))`))
  }
  const expected = JSON.parse(readFileSync(join(import.meta.dirname, 'exports.json'), 'utf8'))
  assert.deepEqual(names, expected, 'a change of the public names is a change of exports.json, and of the CHANGELOG')
})

test('a session begins, continues and ends on SQLite', async () => {
  const output = await node(`
    import { createDaypass, isDaypassError } from 'daypass'
    import { createSqliteStore } from 'daypass/sqlite'
    const secret = crypto.getRandomValues(new Uint8Array(32))
    const auth = createDaypass({ secret, issuer: 'https://example.com', store: createSqliteStore('./data/x.db') })
    const first = await auth.issue('ada')
    const second = await auth.refresh(first.refreshToken)
    const { subject } = await auth.verify(second.accessToken)
    await auth.revokeSubject('ada')
    const error = await auth.refresh(second.refreshToken).catch((error) => error)
    console.log(subject, isDaypassError(error, 'ERR_SESSION_REVOKED'))
    await auth.close()`)
  assert.equal(output, 'ada true\n')
})

test('it contains no server, no console and no command', () => {
  const files = readdirSync(join(project, 'node_modules/daypass/dist'), { recursive: true }) as string[]
  assert.ok(files.length > 0)
  assert.deepEqual(
    files.filter((file) => /server|console|account/.test(file)),
    [],
  )
  assert.equal(existsSync(join(project, 'node_modules/.bin')), false)
})

test('its types compile in a strict project, without skipLibCheck', async () => {
  mkdirSync(join(project, 'src'))
  writeFileSync(
    join(project, 'src/app.ts'),
    `import { createDaypass } from 'daypass'
     import { createMemoryStore } from 'daypass/memory'
     import { createVerifier } from 'daypass/verify'
     import { createClient } from 'daypass/client'
     import { createFileStorage } from 'daypass/file-storage'
     import { useSession } from 'daypass/react'
     import { openSocket, streamEvents } from 'daypass/streams'
     const auth = createDaypass<{ role: 'admin' | 'guest' }>({ secret: '', issuer: 'x', store: createMemoryStore() })
     const role: 'admin' | 'guest' = (await auth.verify('')).claims.role
     // @ts-expect-error: the claims have a role, so it must be given.
     await auth.issue('ada')
     // @ts-expect-error: and it must be one of the two.
     await auth.issue('ada', { claims: { role: 'king' } })
     const expiresAt: number = (await createVerifier({ issuer: 'x' }).verify('')).expiresAt
     const response: Response = await createClient({ baseUrl: 'http://localhost/auth' }).fetch('http://localhost')
     const client = createClient<typeof auth>({ baseUrl: 'http://localhost/auth', storage: createFileStorage('x') })
     const seen: 'admin' | 'guest' | undefined = useSession(client).session?.claims.role
     console.log(role, expiresAt, response.status, seen, openSocket, streamEvents)`,
  )
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2023',
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
  }
  for (const module of ['nodenext', 'esnext']) {
    const moduleResolution = module === 'nodenext' ? 'nodenext' : 'bundler'
    const config = { compilerOptions: { ...compilerOptions, module, moduleResolution }, include: ['src'] }
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config))
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', project], { env }).catch(({ stdout }) => assert.fail(stdout))
  }
})
