// Checks the packed package in each module system, and prints the table of docs/modules.md.
//
// `npx node scripts/check-modules.ts --install` installs the tools, 340 MB, into .cache/module-tools and .cache/react-native. A check whose tool is not
// there is not run, and says so. `npx node scripts/check-modules.ts Jest` runs the checks with that word.

import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

const root = join(import.meta.dirname, '..')
const tools = join(root, '.cache/module-tools')
const versions = {
  '@babel/core': '7',
  '@babel/preset-env': '7',
  '@rspack/core': '2.3.3',
  '@swc/core': '1',
  '@swc/jest': '0.2.39',
  'babel-jest': '30.5.2',
  esbuild: '0.28.2',
  'express-oauth2-jwt-bearer': '1.7.1',
  jest: '30.5.2',
  metro: '0.87.1',
  'ts-jest': '29.4.15',
  typescript: '5.9.3',
  webpack: '5.113.0',
}
/** React Native has a folder of its own, because its preset needs Jest 29. */
const native = join(root, '.cache/react-native')
const nativeVersions = {
  '@babel/runtime': '7',
  '@react-native/babel-preset': '0.87.1',
  '@react-native/jest-preset': '0.87.1',
  jest: '29.7.0',
  react: '19.2.3',
  'react-native': '0.87.1',
}
if (process.argv.includes('--install')) {
  install(tools, versions)
  // Jest loads nothing of these, and they are more than half of the bytes.
  const unused = [
    '@react-native/community-cli-plugin',
    '@react-native/gradle-plugin',
    'hermes-compiler',
    'react-devtools-core',
  ]
  const overrides = Object.fromEntries(unused.map((name) => [name, 'npm:empty-npm-package@1.0.0']))
  mkdirSync(native, { recursive: true })
  writeFileSync(join(native, 'package.json'), JSON.stringify({ private: true, overrides }))
  install(native, nativeVersions)
  process.exit()
}
function install(folder: string, packages: Record<string, string>): void {
  const wanted = Object.entries(packages).map(([name, version]) => `${name}@${version}`)
  const flags = ['--prefix', folder, '--no-audit', '--no-fund', '--silent']
  execFileSync('npm', ['install', ...flags, ...wanted], { stdio: 'inherit' })
}

/** Where a package of the tools is, or of the repository. Empty if it is not installed. */
function find(path: string): string {
  return [tools, root].map((folder) => join(folder, 'node_modules', path)).find((place) => existsSync(place)) ?? ''
}
const run = promisify(execFile)
const project = mkdtempSync(join(tmpdir(), 'daypass-modules-'))

/** Writes the files of an app beside the installed package, and links these packages of the repository or the tools. */
function write(files: Record<string, string | object>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(project, name)), { recursive: true })
    writeFileSync(join(project, name), typeof content === 'string' ? content : JSON.stringify(content))
  }
}
function link(...names: string[]): void {
  for (const name of names) {
    const place = join(project, 'node_modules', name)
    mkdirSync(dirname(place), { recursive: true })
    const target = find(name)
    if (target && !existsSync(place)) symlinkSync(target, place)
  }
}

/** Runs a program in the project. Returns what it printed, also where it failed. */
async function output(program: string, args: string[]): Promise<string> {
  const all = { cwd: project, env: { ...process.env, NODE_NO_WARNINGS: '1', NO_COLOR: '1' }, timeout: 120_000 }
  return run(program, args, all).then(
    ({ stdout, stderr }) => stdout + stderr,
    (error) => `${error.stdout}${error.stderr}${error.message}`,
  )
}

// The apps.

const imports = `import { createDaypass } from 'daypass'
import { createMemoryStore } from 'daypass/memory'
import { createClient } from 'daypass/client'
`
const requires = `const { createDaypass } = require('daypass')
const { createMemoryStore } = require('daypass/memory')
const { createClient } = require('daypass/client')
`
const body = `export async function play() {
  const auth = createDaypass({ secret: crypto.getRandomValues(new Uint8Array(32)), issuer: 'https://example.com', store: createMemoryStore() })
  const { refreshToken } = await auth.issue('ada')
  const { accessToken } = await auth.refresh(refreshToken)
  const { subject } = await auth.verify(accessToken)
  await auth.close()
  return subject + ' ' + createClient({ baseUrl: 'https://example.com/auth' }).getSession().status
}
`
const print = 'play().then((told) => console.log(told))\n'
const asCommonJs = (code: string) => code.replace('export ', '')
const testCode = `test('a session', async () => expect(await play()).toBe('ada unknown'))\n`

/** Whether the app worked; else what it printed. */
const worked = (told: string) => /ada unknown|1 passed/.test(told) || told

// The checks. Each says true, or what went wrong.

interface Check {
  /** The first cell of its line in docs/modules.md. */
  title: string
  needs?: string[]
  run(): Promise<true | string>
  /** What the check must say where something cannot work. */
  fails?: RegExp
}

const node22 = join(root, '.cache/node22/node_modules/node/bin/node')

const runs: Check[] = Object.entries({ 'Node 24': process.execPath, 'Node 22.18': node22 }).flatMap(
  ([name, program]) => [
    {
      title: `${name}, \`import\``,
      needs: [program],
      async run() {
        write({ 'app.mjs': imports + body + print })
        return worked(await output(program, ['app.mjs']))
      },
    },
    {
      title: `${name}, \`require\``,
      needs: [program],
      async run() {
        write({ 'app.cjs': requires + asCommonJs(body) + print })
        return worked(await output(program, ['app.cjs']))
      },
    },
  ],
)

/** Every entry, without those that need a peer for their types. */
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const entries = Object.keys(exports)
  .filter((path) => path !== './package.json')
  .map((path) => path.replace(/^\./, 'daypass'))
const typesOf = (names: string[]) =>
  names
    .map((name, index) => `import * as m${index} from '${name}'\nexport type T${index} = typeof m${index}\n`)
    .join('')
/** Entries whose types come from the framework that they adapt, which is then installed. */
const frameworks = Object.entries<{ types?: string }>(exports)
  .filter(([, { types }]) => types && /from '(?!\.|node:|jose)/.test(withoutComments(join(root, types))))
  .map(([path]) => path.replace(/^\./, 'daypass'))
function withoutComments(file: string): string {
  return readFileSync(file, 'utf8').replaceAll(/\/\*[\s\S]*?\*\//g, '')
}

/** Type-checks every entry, without skipLibCheck. */
async function typeCheck(typescript: string, options: object, type = 'module', code?: string): Promise<true | string> {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: 'es2022',
    lib: ['es2023', 'dom'],
    types: ['node'],
    esModuleInterop: true,
    ...options,
  }
  const app = imports + body.replace("issue('ada')", "issue('ada' as string)")
  write({
    'package.json': { private: true, type },
    'src/app.ts': code ?? app,
    'src/entries.ts': typesOf(entries.filter((name) => !frameworks.includes(name))),
    'tsconfig.json': { compilerOptions, include: ['src'] },
  })
  link('@types/node', 'undici-types')
  const told = await output(process.execPath, [join(typescript, 'bin/tsc'), '-p', '.'])
  return told === '' || told
}
const newest = join(root, 'node_modules/typescript')
const older = join(tools, 'node_modules/typescript')
const typed = (
  title: string,
  [typescript, module, moduleResolution, type]: [string, string, string, string],
  fails?: RegExp,
): Check => ({
  title,
  needs: [typescript],
  run: () => typeCheck(typescript, { module, moduleResolution }, type),
  ...(fails && { fails }),
})
const types: Check[] = [
  typed('TypeScript 7, `bundler`', [newest, 'esnext', 'bundler', 'module']),
  typed('TypeScript 7, `nodenext`, ES modules', [newest, 'nodenext', 'nodenext', 'module']),
  typed('TypeScript 7, `nodenext`, CommonJS', [newest, 'nodenext', 'nodenext', 'commonjs']),
  typed('TypeScript 7, `node16`, ES modules', [newest, 'node16', 'node16', 'module']),
  typed('TypeScript 7, `node16`, CommonJS', [newest, 'node16', 'node16', 'commonjs'], /TS1479/),
  typed('TypeScript 7, `module: node20`, CommonJS', [newest, 'node20', 'node16', 'commonjs']),
  typed('TypeScript 7, `module: commonjs`, `bundler`', [newest, 'commonjs', 'bundler', 'commonjs']),
  typed('TypeScript 5.9, `bundler`', [older, 'esnext', 'bundler', 'module']),
  typed('TypeScript 5.9, `nodenext`, CommonJS', [older, 'nodenext', 'nodenext', 'commonjs']),
  typed('TypeScript 5.9, `node10`', [older, 'commonjs', 'node10', 'commonjs']),
  {
    title: 'TypeScript, every peer installed',
    run: () => withPeers(typesOf(entries)),
  },
  {
    title: 'TypeScript, another library types `req.auth`',
    needs: ['express-oauth2-jwt-bearer'],
    run: () => withPeers(clash),
  },
]

/** An app with our adapter for Express beside another library that declares `req.auth` for every request. */
const clash = `import express from 'express'
import { auth as checkElsewhere } from 'express-oauth2-jwt-bearer'
import type { ExpressAuth } from 'daypass/express'
declare module 'daypass/express' {
  interface Register {
    reqAuth: false
  }
}
declare const web: ExpressAuth
express()
  .get('/theirs', checkElsewhere(), (req, res) => void res.json(req.auth?.payload.sub))
  .get('/ours', web.requireAuth((req, res) => res.json(req.auth.subject)))
  .get('/both', web.requireAuth(), (req, res) => void res.json(req.auth?.token))
`

/** Type-checks the code with all peers there. What the peers' own types say of themselves is not ours. */
async function withPeers(code: string): Promise<true | string> {
  const { peerDependenciesMeta } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const typesOnly = ['express', 'express-serve-static-core', 'pg', 'react', 'koa'].map((name) => `@types/${name}`)
  link(...Object.keys(peerDependenciesMeta), ...typesOnly, 'express-oauth2-jwt-bearer')
  const told = await typeCheck(newest, { module: 'nodenext', moduleResolution: 'nodenext' }, 'module', code)
  return (
    told === true ||
    told
      .split('\n')
      .filter((line) => /^(node_modules\/daypass|src)\//.test(line))
      .join('\n') ||
    true
  )
}

const modulePath = '<rootDir>/node_modules/(?!(daypass|jose)/)'
/** Runs Jest with this configuration. */
async function jest(config: object, type: 'module' | 'commonjs', flags: string[] = []): Promise<true | string> {
  const isModule = type === 'module'
  write({
    'package.json': { private: true, type },
    'jest.config.json': { testEnvironment: 'node', rootDir: '.', testMatch: ['<rootDir>/jest/*.test.*'], ...config },
    'tsconfig.json': {
      compilerOptions: { module: 'commonjs', moduleResolution: 'node10', allowJs: true, target: 'es2022', types: [] },
    },
    'babel.config.json': isModule ? {} : { presets: [[find('@babel/preset-env'), { targets: { node: 'current' } }]] },
  })
  for (const name of ['session.test.js', 'session.test.ts']) rmSync(join(project, 'jest', name), { force: true })
  const isTypeScript = JSON.stringify(config).includes('ts-jest')
  const head = isTypeScript ? 'declare const test: any, expect: any\n' : ''
  write({ [`jest/session.test.${isTypeScript ? 'ts' : 'js'}`]: head + imports + body + testCode })
  return worked(await output(process.execPath, [...flags, join(find('jest'), 'bin/jest.js'), '--no-cache']))
}
const tests: Check[] = [
  {
    title: 'Vitest',
    needs: ['vitest'],
    async run() {
      link('vitest', 'vite')
      write({ 'vitest/session.test.js': `import { expect, test } from 'vitest'\n${imports}${body}${testCode}` })
      const told = await output(process.execPath, [join(find('vitest'), 'vitest.mjs'), 'run', '--dir', 'vitest'])
      return worked(told)
    },
  },
  {
    title: 'Jest, ES modules',
    needs: ['jest'],
    run: () => jest({ transform: {} }, 'module', ['--experimental-vm-modules']),
  },
  {
    title: 'Jest, Babel',
    needs: ['jest', 'babel-jest'],
    run: () => jest({ transform: { '\\.js$': find('babel-jest') }, transformIgnorePatterns: [modulePath] }, 'commonjs'),
  },
  {
    title: 'Jest, ts-jest',
    needs: ['jest', 'ts-jest', older],
    run() {
      const transform = { '\\.[jt]s$': [find('ts-jest'), { diagnostics: false, compiler: older }] }
      return jest({ transform, transformIgnorePatterns: [modulePath] }, 'commonjs')
    },
  },
  {
    title: 'Jest, SWC',
    needs: ['jest', '@swc/jest'],
    run: () =>
      jest(
        {
          transform: { '\\.js$': [find('@swc/jest'), { module: { type: 'commonjs' } }] },
          transformIgnorePatterns: [modulePath],
        },
        'commonjs',
      ),
  },
]

const nativeJest = join(native, 'node_modules/jest/bin/jest.js')
/** A client that is signed in to a real server and meets an expired token, in React Native's environment for Jest. */
const reactNative: Check = {
  title: 'Jest, preset of React Native',
  needs: [nativeJest],
  async run() {
    for (const name of ['@babel/runtime', '@react-native/jest-preset', 'react-native', 'react']) {
      mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true })
      rmSync(join(project, 'node_modules', name), { recursive: true, force: true })
      symlinkSync(join(native, 'node_modules', name), join(project, 'node_modules', name))
    }
    const { url, refreshes, close } = await startServer()
    write({
      'package.json': { private: true, type: 'commonjs' },
      'babel.config.json': { presets: [join(native, 'node_modules/@react-native/babel-preset')] },
      'jest.config.json': {
        preset: '@react-native/jest-preset',
        rootDir: '.',
        testMatch: ['<rootDir>/native/*.test.js'],
        transformIgnorePatterns: ['node_modules/(?!((jest-)?react-native|@react-native(-community)?|daypass)/)'],
      },
      'native/session.test.js': `import { createClient } from 'daypass/client'
import { useSession } from 'daypass/react'
import { Platform } from 'react-native'
test('a session', async () => {
  const client = createClient({ baseUrl: '${url}/auth' })
  await client.signIn({ name: 'ada' })
  await fetch('${url}/later')
  const responses = await Promise.all([1, 2, 3].map(() => client.fetch('${url}/me')))
  expect(responses.map(({ status }) => status)).toEqual([200, 200, 200])
  await client.signOut()
  expect([client.getSession().status, typeof useSession, Platform.OS]).toEqual(['signed-out', 'function', 'ios'])
})
`,
    })
    try {
      const told = worked(await output(process.execPath, [nativeJest, '--no-cache']))
      return told === true && refreshes() !== 1 ? `${refreshes()} refreshes` : told
    } finally {
      close()
    }
  },
}

/** A server of the installed package. `/later` lets an hour go by on its clock, and `/me` wants an access token. */
async function startServer() {
  const load = (file: string) => import(join(project, 'node_modules/daypass/dist', file))
  const [{ createDaypass }, { createMemoryStore }, { createNodeAuth }] = await Promise.all([
    load('index.js'),
    load('stores/memory.js'),
    load('adapters/node.js'),
  ])
  let ahead = 0
  let refreshes = 0
  const auth = createDaypass({
    secret: randomBytes(32),
    issuer: 'https://example.com',
    store: createMemoryStore(),
    clock: () => Date.now() + ahead,
    onEvent: ({ type }: { type: string }) => type === 'rotated' && refreshes++,
  })
  const web = createNodeAuth(auth, { authenticate: ({ name }: { name: string }) => ({ subject: name }) })
  const me = web.requireAuth((_: IncomingMessage, response: ServerResponse) => response.end())
  const server = createServer(async (request, response) => {
    if (await web.routes(request, response)) return
    if (request.url === '/me') return me(request, response)
    ahead = 3_600_000
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, refreshes: () => refreshes, close }
}

/** Bundles the app for Node and the client for pages, by a script that gets `entry`, `folder` and `isPage`, and runs both. */
function bundled(title: string, tool: string, script: string, parts = [false, true]): Check {
  return {
    title,
    needs: [tool],
    async run() {
      const toUse = createRequire(join(find(tool), 'package.json')).resolve(tool)
      // Metro's own runtime has to be found from the app.
      if (tool === 'metro') link('metro-runtime', '@babel/runtime')
      for (const isPage of parts) {
        const folder = join(project, 'out')
        rmSync(folder, { recursive: true, force: true })
        mkdirSync(folder)
        const page = `${imports.split('\n')[2]}\nconsole.log('ada ' + createClient({ baseUrl: '/auth' }).getSession().status)\n`
        write({
          'package.json': { private: true, type: 'module' },
          'entry.js': isPage ? page : imports + body + print,
          'bundle.mjs': `import { createRequire } from 'node:module'
const folder = ${JSON.stringify(folder)}, entry = './entry.js', isPage = ${isPage}
const it = (name) => import(name)
const tool = createRequire(import.meta.url)(${JSON.stringify(toUse)})
${script}`,
        })
        const told = await output(process.execPath, ['bundle.mjs'])
        const file = ['main.mjs', 'main.js'].map((name) => join(folder, name)).find((name) => existsSync(name))
        if (!file) return told || 'no bundle'
        write({ 'out/package.json': { type: file.endsWith('.mjs') ? 'module' : 'commonjs' } })
        // The bundle finds no package: it holds all of them.
        const ran = worked(await output(process.execPath, [file]))
        if (ran !== true) return ran
      }
      return true
    },
  }
}
const packs = `const compiler = tool({ mode: 'production', context: process.cwd(), entry, target: isPage ? 'web' : 'node22',
  output: { path: folder, filename: 'main.js' } })
compiler.run((error, stats) => { if (error || stats.hasErrors()) console.log(String(error ?? stats)) })`
const metro = (isOn: boolean) => `
const config = await tool.loadConfig({ cwd: process.cwd() }, {
  projectRoot: process.cwd(), watchFolders: ${JSON.stringify([find('metro-runtime'), find('@babel/runtime')].filter(Boolean))}, maxWorkers: 1, cacheStores: [], reporter: { update() {} },
  resolver: { useWatchman: false, unstable_enablePackageExports: ${isOn} },
  transformer: { getTransformOptions: async () => ({ transform: { experimentalImportSupport: true } }) },
})
try {
  await tool.runBuild(config, { entry: entry.slice(2), out: folder + '/main.js', dev: false, minify: false, platform: 'ios' })
} catch (error) { console.log(error.message) }`
const bundlers: Check[] = [
  bundled('webpack', 'webpack', packs),
  bundled(
    'esbuild',
    'esbuild',
    `await tool.build({ entryPoints: [entry], bundle: true, format: isPage ? 'iife' : 'cjs', platform: isPage ? 'browser' : 'node',
      outfile: folder + '/main.js' })`,
  ),
  bundled(
    'Vite',
    'vite',
    `await tool.build({ configFile: false, logLevel: 'warn', ssr: { noExternal: true },
      build: { outDir: folder, ssr: isPage ? false : entry, rollupOptions: { input: entry, output: { entryFileNames: 'main.mjs' } } } })`,
  ),
  bundled('Rspack', '@rspack/core', packs.replace('tool(', 'tool.rspack(')),
]
const metros: Check[] = [true, false].map((isOn) => {
  const title = isOn ? 'Metro, package exports on' : 'Metro, package exports off'
  // Metro bundles apps, never servers.
  const check = bundled(title, 'metro', metro(isOn), [true])
  return isOn ? check : { ...check, fails: /daypass\/client/ }
})

// React Native comes last: the others may not see its configuration.
const checks = [...runs, ...types, ...tests, ...bundlers, ...metros, reactNative]
checkDocs(checks.map(({ title }) => title))
const failed: string[] = []
try {
  write({ 'package.json': { private: true } })
  execFileSync('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', project], { cwd: root })
  const tarball = `daypass-${JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version}.tgz`
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--silent', `./${tarball}`], { cwd: project })

  const [wanted = ''] = process.argv.slice(2)
  for (const { title, needs = [], run, fails } of checks.filter(({ title }) => title.includes(wanted))) {
    const missing = needs.find((name) => !existsSync(name) && !find(name))
    const told = missing ? undefined : await run().catch((error) => String(error))
    // In CI a missing tool is a failure.
    const isRight = missing ? !process.env.CI : fails ? told !== true && fails.test(`${told}`) : told === true
    const line = missing
      ? 'not run: no tool'
      : fails
        ? isRight
          ? 'refused, as said'
          : 'wrong'
        : told === true
          ? 'works'
          : 'wrong'
    console.log(`${title.padEnd(48)} ${line}`)
    if (!isRight) failed.push(`${title}: ${told}`)
  }
} finally {
  rmSync(project, { recursive: true, force: true })
}
if (failed.length > 0) throw new Error(failed.join('\n\n'))

/** The table of docs/modules.md has a line for each check, and no other. */
function checkDocs(titles: string[]): void {
  const page = readFileSync(join(root, 'docs/modules.md'), 'utf8')
  const lines = [...page.matchAll(/^\| (.+?) \| /gm)].map(([, cell]) => cell).filter((cell) => cell !== 'where')
  const wrong = [...titles.filter((one) => !lines.includes(one)), ...lines.filter((one) => !titles.includes(`${one}`))]
  if (wrong.length > 0) throw new Error(`docs/modules.md and the checks differ in: ${wrong.join(', ')}`)
}
