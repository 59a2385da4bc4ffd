// Follows the pages of "add it to your framework" as a reader would: installs the packed package in an empty folder, runs
// the commands of the page, writes its files, starts them, and signs in with the client. Deploys the server application as
// its page says.
//
// `npx node scripts/follow-docs.ts Hono` follows the parts with that word. A part whose program is not installed says so.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { readPage, readScript, readSnippet } from '../test/docs/project.ts'
import { freePort } from '../test/engines/free-port.ts'
import { findRuntime } from '../test/engines/runtimes.ts'

const root = join(import.meta.dirname, '..')
const run = promisify(execFile)
const folders = mkdtempSync(join(tmpdir(), 'daypass-follow-'))
const tarball = join(folders, `daypass-${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}.tgz`)

/** What one part of a page tells its reader to do. */
interface Part {
  title: string
  page: string
  /** The name of a snippet of the page, or a text that only one unnamed snippet contains, and the file that it becomes. */
  files: Record<string, string>
  /** Commands of the page before the one that installs. Without any, there is a package.json that says module. */
  before?: string[]
  /** The command that installs, as the page prints it. `daypass` is the packed package. */
  install: string
  /** The packages and files that the framework's own template has, and the command that builds them. */
  template?: { packages: string[]; files: Record<string, string>; build: string[] }
  /** How it is started, as the page prints it, and the program that does so. */
  start: { says: string; file?: [name: string, code: string]; command: string[] }
  /** The output of the page's commands with curl, if it has any. */
  curl?: string
  /** A program that has to be there. */
  needs?: string
}

const frameworks = 'docs/frameworks.md'
const serverPage = 'docs/server-application.md'
const onFetch = { 'auth.ts': 'auth.ts' }

const parts: Part[] = [
  {
    title: 'Express',
    page: 'docs/start.md',
    before: ['npm init -y', 'npm pkg set type=module'],
    files: { 'server.ts': 'createExpressAuth' },
    install: 'npm install daypass express',
    start: { says: 'node server.ts', command: ['node', 'server.ts'] },
    curl: '{"subject":"1"}',
  },
  {
    title: 'Fastify',
    page: frameworks,
    files: { 'fastify.ts': 'fastify.ts' },
    install: 'npm install daypass fastify',
    start: {
      says: '`await app.listen({ port: 3000 })` starts it.',
      file: ['server.js', "import { app } from './fastify.ts'\nawait app.listen({ port: 3000 })\n"],
      command: ['node', 'server.js'],
    },
  },
  {
    title: 'Hono',
    page: frameworks,
    files: { 'hono.ts': 'hono.ts' },
    install: 'npm install daypass hono @hono/node-server',
    start: {
      says: "On Node, `import { serve } from '@hono/node-server'` and `serve(app)` start it, on port 3000.",
      file: [
        'server.js',
        "import { serve } from '@hono/node-server'\nimport { app } from './hono.ts'\nserve({ ...app, port: 3000 })\n",
      ],
      command: ['node', 'server.js'],
    },
  },
  {
    title: 'Koa',
    page: frameworks,
    files: { 'koa.ts': 'koa.ts' },
    install: 'npm install daypass koa @koa/router',
    start: {
      says: '`app.listen(3000)` starts it.',
      file: ['server.js', "import { app } from './koa.ts'\napp.listen(3000)\n"],
      command: ['node', 'server.js'],
    },
  },
  {
    title: 'NestJS',
    page: frameworks,
    files: { 'nest.ts': 'nest.ts' },
    install: 'npm install @nestjs/common @nestjs/core @nestjs/platform-express reflect-metadata rxjs',
    start: {
      says: '`await (await NestFactory.create(AppModule)).listen(3000)` starts it.',
      file: [
        'server.js',
        "import { NestFactory } from '@nestjs/core'\nimport { AppModule } from './nest.js'\nawait (await NestFactory.create(AppModule, { logger: false })).listen(3000)\n",
      ],
      command: ['node', 'server.js'],
    },
  },
  {
    title: 'h3 2',
    page: frameworks,
    files: { ...onFetch, 'h3.js': 'h3.js' },
    install: 'npm install daypass h3@2',
    start: {
      says: '`serve(app)` of `h3` starts it.',
      file: ['server.js', "import { serve } from 'h3'\nimport { app } from './h3.js'\nserve(app, { port: 3000 })\n"],
      command: ['node', 'server.js'],
    },
  },
  {
    title: 'Bun',
    page: frameworks,
    files: { ...onFetch, 'bun.js': 'bun.js' },
    install: 'npm install daypass',
    start: { says: '`bun run bun.js`', command: ['bun', 'run', 'bun.js'] },
    needs: 'bun',
  },
  {
    title: 'Deno',
    page: frameworks,
    files: { ...onFetch, 'deno.js': 'deno.js' },
    install: 'npm install daypass',
    start: {
      says: '`deno serve -A --port 3000 deno.js`',
      command: ['deno', 'serve', '-A', '--port', '3000', 'deno.js'],
    },
    needs: 'deno',
  },
  {
    title: 'React Router',
    page: 'docs/ssr.md',
    files: { ...onFetch, 'app/routes/auth.ts': 'app/routes/auth.ts', 'app/routes/home.ts': 'app/routes/home.ts' },
    install: 'npm install daypass',
    template: {
      // The newest version that the registry has of all four.
      packages: [
        ...['react-router', '@react-router/node', '@react-router/serve', '@react-router/dev'].map(
          (name) => `${name}@8.4.0`,
        ),
        ...['react', 'react-dom', 'isbot', 'vite'],
      ],
      files: {
        'vite.config.js': `import { reactRouter } from '@react-router/dev/vite'\nexport default { plugins: [reactRouter()] }\n`,
        'app/routes.ts': `import { index, route } from '@react-router/dev/routes'
export default [
  index('routes/home.ts'),
  route('auth/*', 'routes/auth.ts'),
  route('.well-known/jwks.json', 'routes/auth.ts', { id: 'jwks' }),
]
`,
        'app/root.tsx': `import { Outlet, Scripts } from 'react-router'
export default () => <html lang="en"><body><Outlet /><Scripts /></body></html>
`,
      },
      build: ['node_modules/.bin/react-router', 'build'],
    },
    start: {
      says: "`route('auth/*', 'routes/auth.ts')`, and `route('.well-known/jwks.json', 'routes/auth.ts', { id: 'jwks' })`",
      command: ['node', 'node_modules/.bin/react-router-serve', 'build/server/index.js'],
    },
  },
  {
    title: 'Express, rendered on the server',
    page: 'docs/ssr.md',
    files: { ...onFetch, 'express.ts': 'express.ts' },
    install: 'npm install daypass express',
    start: {
      says: '`app.listen(3000)` starts it.',
      file: ['server.js', "import { app } from './express.ts'\napp.listen(3000)\n"],
      command: ['node', 'server.js'],
    },
  },
]

/** The page of a reader: signs in, calls, renews its token, calls again and signs out. */
const visitor = `import { createClient } from 'daypass/client'
const origin = process.argv[2]
const session = createClient({ baseUrl: origin + '/auth' })
await session.signIn({ name: 'ada', password: 'secret' })
const call = async () => (await session.fetch(origin + process.argv[3])).status
const first = await call()
await session.getAccessToken({ forceFresh: true })
const second = await call()
await session.signOut()
console.log(first, second, session.getSession().status)
`

async function follow(
  { title, page, before, files, install, template, start, curl }: Part,
  program: string | undefined,
): Promise<void> {
  const text = readFileSync(join(root, page), 'utf8')
  for (const wanted of [...(before ?? []), install, start.says]) {
    if (!text.includes(wanted)) throw new Error(`${page} does not say: ${wanted}`)
  }
  const folder = join(folders, title.replaceAll(/\W+/g, '-'))
  const port = String(await freePort())
  const write = (name: string, code: string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), code.replace(/\b3000\b/, port))
  }
  write('package.json', '{ "type": "module" }')
  if (before) rmSync(join(folder, 'package.json'))
  for (const command of before ?? []) await npm(folder, command.split(' ').slice(1))
  await npm(folder, [
    'install',
    tarball,
    ...(template?.packages ?? []),
    ...install.split(' ').filter((word) => !/^(?:npm|install|daypass)$/.test(word)),
  ])
  for (const [name, snippet] of Object.entries(files)) write(name, readCode(page, snippet))
  if ('nest.ts' in files) await compileNest(folder)
  for (const [name, code] of Object.entries(template?.files ?? {})) write(name, code)
  if (template) await run(process.execPath, template.build, { cwd: folder, timeout: 180_000 })
  if (start.file) write(...start.file)
  write('visitor.js', visitor)

  const [command = '', ...args] = start.command.map((word) => (word === '3000' ? port : word))
  const file = program ?? (command === 'node' ? process.execPath : command)
  await whileRunning(folder, [file, ...args], port, async (origin) => {
    const path = page === 'docs/ssr.md' ? '/' : '/me'
    const { stdout } = await run(process.execPath, ['visitor.js', origin, path], { cwd: folder, timeout: 30_000 })
    if (stdout.trim() !== '200 200 signed-out') throw new Error(`The client printed: ${stdout}`)
    if (curl === undefined) return
    const commands = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
    const script = commands.filter((block) => block.includes('curl ')).join('')
    const told = await run('bash', ['-ec', script.replaceAll('3000', port)], { cwd: folder, timeout: 30_000 })
    if (!told.stdout.endsWith(curl)) throw new Error(`The commands with curl printed: ${told.stdout}${told.stderr}`)
  })
}

/** Deploys the server application to an empty folder, by the commands of its page. The drivers of its table are there too. */
async function deploy(): Promise<void> {
  const page = readFileSync(join(root, serverPage), 'utf8')
  const [, commands = ''] = /^## Deploy\n([\s\S]*?)^## /m.exec(page) ?? []
  const [copied = '', installs = '', starts = ''] = [/^scp -r (.*) \S+$/m, /^npm (ci --.*)$/m, /^node (.*)$/m].map(
    (line) => line.exec(commands)?.[1] ?? '',
  )
  if (!copied || !installs || !starts) throw new Error(`${serverPage} has no commands to deploy it.`)
  const folder = join(folders, 'deployed')
  for (const name of copied.split(' ')) cpSync(join(root, name), join(folder, name), { recursive: true })
  await npm(folder, installs.split(' '))
  const { peerDependencies } = JSON.parse(readFileSync(join(folder, 'server/package.json'), 'utf8'))
  for (const driver of Object.keys(peerDependencies)) {
    await run(process.execPath, ['-e', `import('${driver}')`], { cwd: join(folder, 'server'), timeout: 30_000 })
  }
  const port = String(await freePort())
  await whileRunning(folder, [process.execPath, ...starts.split(' ')], port, async (origin) => {
    const { status } = await fetch(`${origin}/readyz`)
    if (status !== 200) throw new Error(`/readyz responded with ${status}.`)
  })
}

/** Runs a server in a folder until the work is done, and then ends it. An error has what the server printed. */
async function whileRunning(
  folder: string,
  [file = '', ...args]: string[],
  port: string,
  work: (origin: string) => Promise<void>,
): Promise<void> {
  const env = { PATH: process.env.PATH, HOME: folder, PORT: port, DAYPASS_SECRET: randomBytes(48).toString('base64') }
  const child = spawn(file, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const printed: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => printed.push(String(chunk)))
  try {
    const origin = `http://localhost:${port}`
    await untilListening(child, origin)
    await work(origin)
  } catch (error) {
    throw new Error(`${error}\n${printed.join('')}`)
  } finally {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  }
}

/** A snippet by its name, or the first one with a text in it. */
function readCode(page: string, snippet: string): string {
  if (snippet.endsWith('.js')) return readScript(page, snippet)
  if (snippet.endsWith('.ts')) return readSnippet(page, snippet)
  const found = readPage(page).find(({ code }) => code.includes(snippet))
  if (found === undefined) throw new Error(`${page} has no snippet with ${snippet}`)
  return found.code
}

/** Compiles a file with decorators as the command line of NestJS does, with the project's own TypeScript. */
async function compileNest(folder: string): Promise<void> {
  const options = ['--module', 'nodenext', '--target', 'es2023', '--experimentalDecorators', '--emitDecoratorMetadata']
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await run(process.execPath, [tsc, ...options, '--noCheck', '--types', '', 'nest.ts'], { cwd: folder })
}

const npm = (folder: string, args: string[]) =>
  run('npm', [...args, '--prefer-offline', '--no-audit', '--no-fund', '--silent'], { cwd: folder, timeout: 180_000 })

async function untilListening(child: ChildProcess, origin: string): Promise<void> {
  for (let turn = 0; ; turn++) {
    if (child.exitCode !== null) throw new Error(`The server ended with ${child.exitCode}.`)
    try {
      await fetch(`${origin}/me`)
      return
    } catch (error) {
      if (turn === 300) throw error
      await delay(100)
    }
  }
}

/** Follows a part, if its program is installed. */
async function reportPart(part: Part): Promise<void> {
  const program = part.needs === undefined ? undefined : findRuntime(part.needs)?.program
  if (part.needs === undefined || program !== undefined) return report(part, () => follow(part, program))
  const result = `not run: ${part.needs} is not installed`
  print(part, result)
  // CI installs it.
  if (process.env.CI) failed.push(`${part.title}: ${result}`)
}

/** Does the work, and prints a line about it. */
async function report(place: Pick<Part, 'title' | 'page'>, work: () => Promise<void>): Promise<void> {
  const started = performance.now()
  let result = 'works'
  await work().catch((error) => {
    failed.push(`${place.title}: ${error}`)
    result = 'wrong'
  })
  print(place, `${result}, ${Math.round((performance.now() - started) / 1000)} s`)
}

const print = ({ title, page }: Pick<Part, 'title' | 'page'>, result: string) =>
  console.log(`${title.padEnd(34)} ${page.padEnd(26)} ${result}`)

process.env.PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
const [wanted = ''] = process.argv.slice(2)
const failed: string[] = []
try {
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folders], { cwd: root })
  const all = [
    { title: 'Deploy the server', work: () => report({ title: 'Deploy the server', page: serverPage }, deploy) },
    ...parts.map((part) => ({ title: part.title, work: () => reportPart(part) })),
  ]
  const left = all.filter(({ title }) => title.includes(wanted))
  // npm mostly waits for the registry.
  await Promise.all(
    [1, 2, 3].map(async () => {
      for (let next = left.shift(); next; next = left.shift()) await next.work()
    }),
  )
} finally {
  rmSync(folders, { recursive: true, force: true })
}
if (failed.length > 0) {
  console.error(failed.join('\n\n'))
  process.exitCode = 1
}
