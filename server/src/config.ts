// The settings: environment variables, read once and checked.

import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DaypassError } from 'daypass'
import { engineOf, isShared, sqlitePath } from './engines.ts'
import type { LogLevel } from './log.ts'

/** The settings of `daypass-server serve`. Durations are seconds. */
export interface Config {
  port: number
  host: string
  /** A URL: `sqlite:./data/daypass.db`, `memory:`, `postgres://…`. */
  store: string
  /** The beginning of the names of the sessions' tables. */
  prefix: string
  secret: [string, ...string[]]
  /** For the operator: a secret was made at this start. */
  notice: string | undefined
  /** Undefined for the one of this machine that the database has, or `http://localhost:PORT`. */
  issuer: string | undefined
  algorithm: 'EdDSA' | 'HS256'
  accessTokenLifetime: number | undefined
  idleTimeout: number | undefined
  absoluteTimeout: number | undefined
  reuseInterval: number | undefined
  rateLimit: boolean
  registration: boolean
  /** Whether anybody may begin a throw-away session. */
  trial: boolean
  apiKey: string | undefined
  origins: string[]
  trustedProxies: string[]
  logLevel: LogLevel
}

/** Every variable with its description, as `daypass-server --help` prints it. */
export const variables: Record<string, string> = {
  PORT: 'port to listen on (3000)',
  HOST: 'address to listen on (127.0.0.1; 0.0.0.0 for all)',
  DAYPASS_STORE:
    'where sessions live: sqlite:PATH, postgres://…, mysql://…, redis://…, redis+cluster://…, mongodb://… or memory: (sqlite:./data/daypass.db)',
  DAYPASS_SECRET:
    'at least 32 random bytes; rotate with "old,new", then "new,old", then "new" (made and kept beside the database)',
  DAYPASS_ISSUER:
    'your address, as tokens say it; a database belongs to its first one (http://localhost:PORT, or the one of this machine that the database has)',
  DAYPASS_PREFIX: 'beginning of the names of the sessions’ tables (daypass)',
  DAYPASS_ALGORITHM: 'EdDSA or HS256 (EdDSA)',
  DAYPASS_ACCESS_TOKEN_LIFETIME: 'seconds (900)',
  DAYPASS_IDLE_TIMEOUT: 'seconds without a refresh until a session ends (604800)',
  DAYPASS_ABSOLUTE_TIMEOUT: 'seconds until any session ends (2592000)',
  DAYPASS_REUSE_INTERVAL: 'seconds in which a race is a race and not theft (30; 0 is strict)',
  DAYPASS_RATE_LIMIT: 'on, or off for load tests (on)',
  DAYPASS_REGISTRATION: 'on, or off: nobody new (on)',
  DAYPASS_TRY:
    'on, or off: throw-away sessions without an account, for the console (on while HOST and DAYPASS_ISSUER are this machine, NODE_ENV is not production and registration is on)',
  DAYPASS_API_KEY: 'lets your back end make sessions: POST /admin/sessions (off)',
  DAYPASS_ORIGINS: 'pages of other origins that may use it, with commas (none)',
  DAYPASS_TRUSTED_PROXIES: 'addresses of proxies in front whose X-Forwarded-* is believed (none)',
  DAYPASS_LOG: 'debug, info, error or off (info)',
}

/** Reads the environment. Throws `ERR_OPTION_INVALID`, naming the variable. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  for (const name of Object.keys(env)) {
    // A misspelt setting would silently be the default.
    if (name.startsWith('DAYPASS_') && !name.startsWith('DAYPASS_TEST_') && !(name in variables)) {
      throw wrong(name, `is not a setting; the settings are ${Object.keys(variables).join(', ')}`)
    }
  }
  const number = (name: string, least: number) => {
    const text = env[name]
    if (text === undefined || text === '') return undefined
    const value = Number(text)
    if (!Number.isFinite(value) || value < least) throw wrong(name, `must be a number, ${least} or more`)
    return value
  }
  const choice = <T extends string>(name: string, choices: readonly T[], fallback: T): T => {
    const text = env[name] || fallback
    const found = choices.find((value) => value.toLowerCase() === text.toLowerCase())
    if (found === undefined) throw wrong(name, `must be ${choices.join(' or ')}`)
    return found
  }
  const list = (name: string) =>
    (env[name] ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
  const port = number('PORT', 0) ?? 3000
  if (!Number.isInteger(port) || port > 65_535) throw wrong('PORT', 'must be a whole number from 0 to 65535')
  const store = env.DAYPASS_STORE || 'sqlite:./data/daypass.db'
  const host = env.HOST || '127.0.0.1'
  const issuer = env.DAYPASS_ISSUER || undefined
  const registration = choice('DAYPASS_REGISTRATION', ['on', 'off'], 'on') === 'on'
  const isForTrying =
    registration && env.NODE_ENV !== 'production' && isThisMachine(host) && isThisMachine(issuer ?? 'localhost')
  return {
    port,
    host,
    store,
    prefix: readPrefix(env.DAYPASS_PREFIX),
    ...readSecret(env.DAYPASS_SECRET, store),
    issuer,
    algorithm: choice('DAYPASS_ALGORITHM', ['EdDSA', 'HS256'], 'EdDSA'),
    accessTokenLifetime: number('DAYPASS_ACCESS_TOKEN_LIFETIME', 1),
    idleTimeout: number('DAYPASS_IDLE_TIMEOUT', 1),
    absoluteTimeout: number('DAYPASS_ABSOLUTE_TIMEOUT', 1),
    reuseInterval: number('DAYPASS_REUSE_INTERVAL', 0),
    rateLimit: choice('DAYPASS_RATE_LIMIT', ['on', 'off'], 'on') === 'on',
    registration,
    trial: choice('DAYPASS_TRY', ['on', 'off'], isForTrying ? 'on' : 'off') === 'on',
    apiKey: readApiKey(env.DAYPASS_API_KEY),
    origins: list('DAYPASS_ORIGINS'),
    trustedProxies: list('DAYPASS_TRUSTED_PROXIES'),
    logLevel: choice('DAYPASS_LOG', ['debug', 'info', 'error', 'off'], 'info'),
  }
}

/** Whether a host, or an address, can be reached from this machine alone. */
export function isThisMachine(text: string): boolean {
  const host = URL.canParse(text) ? new URL(text).hostname : text
  return /^(localhost|127(\.\d+){3}|\[?::1\]?)$/.test(host)
}

function readSecret(given: string | undefined, store: string): Pick<Config, 'secret' | 'notice'> {
  const engine = engineOf(store)
  if (given) {
    const [newest = '', ...older] = given.split(',').map((part) => part.trim())
    return { secret: [newest, ...older], notice: undefined }
  }
  // A secret that each machine makes for itself would sign people out at another machine, and at each deploy.
  if (isShared(engine)) {
    throw wrong(
      'DAYPASS_SECRET',
      'is not set; every server on this database needs the same one (openssl rand -base64 48)',
    )
  }
  const database = engine === 'sqlite' ? resolve(sqlitePath(store)) : undefined
  const isOld = database !== undefined && existsSync(database)
  const folder = database === undefined ? resolve('data') : dirname(database)
  const path = join(folder, 'secret')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    // "wx": of two servers that start at once, one makes it and the other reads it.
    writeFileSync(path, `${randomBytes(48).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 })
    const made = `A secret was made and kept in ${path}: back it up, or set DAYPASS_SECRET.`
    const lost = ` The database ${database} is older: its sessions need the secret of before. Restore it, or everybody signs in again.`
    return { secret: [readFileSync(path, 'utf8').trim()], notice: isOld ? made + lost : made }
  } catch (cause) {
    if (!existsSync(path)) {
      throw new DaypassError('ERR_OPTION_INVALID', `DAYPASS_SECRET is not set and none can be kept in ${path}.`, {
        cause,
      })
    }
    return { secret: [readFileSync(path, 'utf8').trim()], notice: undefined }
  }
}

function readPrefix(prefix: string | undefined): string {
  if (!prefix) return 'daypass'
  if (!/^[a-z][a-z0-9_]{0,30}$/.test(prefix)) {
    throw wrong('DAYPASS_PREFIX', 'must be 1 to 31 lower-case letters, digits and underscores, and begin with a letter')
  }
  if (/^daypass_(account|limit)/.test(prefix)) throw wrong('DAYPASS_PREFIX', 'is the beginning of the accounts’ tables')
  return prefix
}

function readApiKey(key: string | undefined): string | undefined {
  if (!key) return undefined
  // It is sent in a header, as a Bearer token.
  if (!/^[\x21-\x7e]{32,}$/.test(key)) {
    throw wrong(
      'DAYPASS_API_KEY',
      'must have at least 32 characters of ASCII, without spaces (openssl rand -base64 48)',
    )
  }
  return key
}

const wrong = (name: string, what: string) => new DaypassError('ERR_OPTION_INVALID', `${name} ${what}.`)
