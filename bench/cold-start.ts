// Cold starts, for functions that start often: the import of six entries, the first verification and the first refresh, each
// in a new process, beside jose.
//
// The package is measured as it is installed: dist/, built before, and what `import` finds there.

import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createDaypass } from '../src/core/daypass.ts'
import { createSqliteStore } from '../src/stores/sqlite.ts'
import { figureOf, fixed, percent, printTable, ratioOf, rounds } from './measure.ts'
import { createTokenMaker, issuer } from './tokens.ts'

const root = join(import.meta.dirname, '..')
const secret = 'a secret of a benchmark that guards nothing 0123456789'
const entries = ['daypass', 'daypass/verify', 'daypass/node', 'daypass/express', 'daypass/fetch', 'daypass/client']

/** Milliseconds. */
interface ColdStart {
  imported: number
  /** The first call after it; 0 where there is none. */
  called: number
  /** Both, and the start of the process. */
  whole: number
}

/** `imports` and `call` are code; `call` has the job as `given`. */
interface Program {
  imports: string
  call?: string
  given?: () => object
}

/** Measures and prints. A round starts eleven processes: about a second on an idle machine. */
export async function benchColdStart(seconds: number): Promise<void> {
  const roundCount = Math.max(3, Math.round(2 * seconds))
  execFileSync(process.execPath, ['scripts/build.ts', 'library'], { cwd: root, stdio: 'inherit' })
  const folder = mkdtempSync(join(tmpdir(), 'daypass-bench-'))
  const database = join(folder, 'sessions.db')
  const store = createSqliteStore(database)
  try {
    const auth = createDaypass({ secret, issuer, algorithm: 'EdDSA', store })
    const refreshTokens: string[] = []
    for (let round = 0; round <= roundCount; round++) refreshTokens.push((await auth.issue('ada')).refreshToken)
    const { make, jwk } = createTokenMaker('EdDSA')
    const token = await make()

    const programs: Record<string, Program> = { nothing: { imports: '' } }
    for (const entry of [...entries, 'jose']) programs[`import ${entry}`] = { imports: `await import('${entry}')` }
    programs['daypass/verify, first verify'] = {
      imports: `const { createVerifier } = await import('daypass/verify')`,
      call: 'await createVerifier({ issuer: given.issuer, jwks: { keys: [given.jwk] } }).verify(given.token)',
      given: () => ({ issuer, jwk, token }),
    }
    programs['jose, first verify'] = {
      imports: `const { importJWK, jwtVerify } = await import('jose')`,
      call: `await jwtVerify(given.token, await importJWK(given.jwk, 'EdDSA'), { issuer: given.issuer, audience: given.issuer })`,
      given: () => ({ issuer, jwk, token }),
    }
    programs['daypass, daypass/sqlite, first refresh'] = {
      imports: `const { createDaypass } = await import('daypass'); const { createSqliteStore } = await import('daypass/sqlite')`,
      call: `await createDaypass({ secret: given.secret, issuer: given.issuer, store: createSqliteStore(given.database) }).refresh(given.refreshToken)`,
      given: () => ({ secret, issuer, database, refreshToken: refreshTokens.pop() }),
    }
    const runs = Object.entries(programs).map(([name, program]) => [name, () => run(program)] as const)
    const things = Object.fromEntries(runs)
    await rounds(1, things)
    const results = await rounds(roundCount, things)
    const rows = Object.entries(results).map(([name, values]) => {
      const series = (of: ColdStart[], what: keyof ColdStart) => of.map((each) => each[what])
      const { median: whole, spread } = figureOf(series(values, 'whole'))
      const base = name.includes('verify,') || name.includes('jose,') ? 'jose, first verify' : 'import jose'
      const ratio = ratioOf(series(values, 'imported'), series(results[base]!, 'imported')).median
      const called = figureOf(series(values, 'called')).median
      return [
        name,
        name === 'nothing' ? '' : fixed(figureOf(series(values, 'imported')).median, 1),
        name === 'nothing' ? '' : fixed(ratio, 2),
        called === 0 ? '' : fixed(called, 1),
        fixed(whole, 1),
        `±${percent(spread / 2)}`,
      ]
    })
    const title = `Cold starts, ms: medians of ${roundCount} new processes each, in turn`
    printTable(title, [['', 'import', 'of jose', 'first call', 'since the process began', 'spread'], ...rows])
  } finally {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function run({ imports, call = '', given = () => ({}) }: Program): Promise<ColdStart> {
  const code = `
    const given = JSON.parse(process.argv[1])
    const started = performance.now()
    ${imports}
    const imported = performance.now()
    ${call}
    const whole = performance.now()
    console.log(JSON.stringify({ imported: imported - started, called: ${call === '' ? '0' : 'whole - imported'}, whole }))
    process.exit()`
  const args = ['--input-type=module', '--eval', code, JSON.stringify(given())]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root })
  return JSON.parse(stdout)
}
