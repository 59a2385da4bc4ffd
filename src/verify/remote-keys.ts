// Fetches keys from a `jwks_uri` and caches them.

import { DaypassError, isDaypassError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { algorithmOf, checkStrength, type Jwk } from './jwk.ts'
import { type Key, type KeySource, pickKey } from './keys.ts'
import { importKey } from './signature.ts'

/** Durations are seconds. */
export interface RemoteKeysOptions {
  /** Keys are fetched again after this time. */
  maxAge: number
  /** Keys beyond `maxAge` stay in use for this time while fetching fails. */
  staleFor: number
  /** The minimum time between two fetches for unknown key ids. */
  cooldown: number
  /** Milliseconds since the epoch. */
  clock: () => number
  fetch?: typeof fetch | undefined
}

interface KeySet {
  keys: Key[]
  /** Milliseconds since the request for it was sent. */
  age(): number
}

const timeout = 5000
const maxLength = 262_144
/** Importing a key takes a fraction of a millisecond. */
const maxKeys = 100

/**
 * Keys that are fetched from an address. A response that is not a key set with a usable key counts as a failure: another
 * status, a redirect, a page, a body over 256 kB, or no response in five seconds. After a failure there is no request for a
 * second, and the known keys stay in use until they are `maxAge` + `staleFor` old.
 */
export function remoteKeys(url: URL, options: RemoteKeysOptions): KeySource {
  const maxAge = options.maxAge * 1000
  const end = maxAge + options.staleFor * 1000
  const cooldown = options.cooldown * 1000
  const pause = Math.min(cooldown, 1000)
  const load = options.fetch ?? fetch
  let known: KeySet | undefined
  let failure: { cause: unknown; age(): number } | undefined
  let fetching: Promise<void> | undefined

  async function fetchNow(): Promise<void> {
    const age = startStopwatch(options.clock)
    try {
      known = { keys: await fetchKeys(url, load), age }
      failure = undefined
    } catch (cause) {
      failure = { cause: explain(url, cause), age: startStopwatch(options.clock) }
    }
  }

  /** All callers share one request, and there is none right after one that failed. */
  async function refresh(): Promise<void> {
    // A Cloudflare Worker cannot await a promise that another request has created.
    if (isCloudflareWorker()) fetching = undefined
    if (isPausing()) return
    fetching ??= fetchNow().finally(() => {
      fetching = undefined
    })
    await fetching
  }

  const isPausing = () => failure !== undefined && failure.age() < pause
  const unavailable = () => new DaypassError('ERR_JWKS_UNAVAILABLE', undefined, { cause: failure?.cause })

  return {
    async find(header) {
      // A shared secret is never fetched from a public address.
      if (header.alg === 'HS256') return undefined
      if (known === undefined || known.age() >= maxAge) {
        const refreshed = refresh()
        // Do not wait for another attempt after a failure while the known keys may be used.
        if (known === undefined || failure === undefined || known.age() >= end) await refreshed
      }
      if (known === undefined || known.age() >= end) throw unavailable()
      const key = pickKey(known.keys, header)
      if (key !== undefined || known.age() < cooldown) return key
      await refresh()
      // Without a response it is not known whether the key is new or does not exist.
      if (failure !== undefined) throw unavailable()
      return pickKey(known.keys, header)
    },
    current() {
      if (known === undefined) return undefined
      const age = known.age()
      // Undefined makes the next token call `find`, which fetches the keys.
      const isInUse = age < maxAge || (age < end && failure !== undefined && (isPausing() || fetching !== undefined))
      return isInUse ? known : undefined
    },
  }
}

/**
 * Measures time with two clocks and returns the longer time: the monotonic clock may stand still while the machine sleeps,
 * and the other may be set back.
 */
function startStopwatch(clock: () => number): () => number {
  const monotonicStart = performance.now()
  const start = clock()
  return () => Math.max(performance.now() - monotonicStart, Math.abs(clock() - start))
}

async function fetchKeys(url: URL, load: typeof fetch): Promise<Key[]> {
  const controller = new AbortController()
  let timer: ReturnType<typeof setTimeout> | undefined
  // A custom `fetch` may ignore the signal, so race it as well.
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      controller.abort()
      reject(noKeys('no response within five seconds'))
    }, timeout)
  })
  try {
    return await Promise.race([request(url, load, controller.signal).then(importKeys), tooLate])
  } finally {
    clearTimeout(timer)
  }
}

async function request(url: URL, load: typeof fetch, signal: AbortSignal): Promise<string> {
  const headers = { accept: 'application/jwk-set+json, application/json' }
  const response = await load(url.href, { headers, redirect: 'manual', signal })
  if (response.status === 200) return readBody(response)
  // An unread body would keep its connection.
  await response.body?.cancel().catch(() => {})
  throw noKeys(`the response has status ${response.status}`)
}

async function readBody(response: Response): Promise<string> {
  // React Native has no streams.
  if (!response.body) return response.text()
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let length = 0; ; ) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    length += value.length
    if (length > maxLength) {
      await reader.cancel().catch(() => {})
      throw noKeys(`the response is longer than ${maxLength} bytes`)
    }
    text += decoder.decode(value, { stream: true })
  }
}

async function importKeys(text: string): Promise<Key[]> {
  const keys = parseKeys(text)
  if (Array.isArray(keys) && keys.length > maxKeys) throw noKeys(`the response has more than ${maxKeys} keys`)
  const imported = await Promise.all(Array.isArray(keys) ? keys.map(importUsable) : [])
  const usable = imported.filter((key) => key !== undefined)
  if (usable.length === 0) throw noKeys('the response is not a key set with a usable key')
  return usable
}

/** Returns undefined for a key that is secret, weak, damaged or for another use, so that the other keys can be used. */
async function importUsable(jwk: Jwk): Promise<Key | undefined> {
  try {
    if (jwk.kty === 'oct') return undefined
    // Many issuers omit `alg` from RSA keys. RS256 is the only allowed RSA algorithm.
    const alg = jwk.alg ?? (jwk.kty === 'RSA' ? 'RS256' : algorithmOf(jwk))
    checkStrength(jwk, alg)
    const key = await importKey(jwk, alg)
    return { kid: jwk.kid, alg, load: () => key }
  } catch {
    return undefined
  }
}

function parseKeys(text: string): unknown {
  try {
    return (parseJson(text) as { keys?: unknown } | null)?.keys
  } catch {
    throw noKeys('the response is not JSON')
  }
}

const noKeys = (cause: string) => new DaypassError('ERR_JWKS_UNAVAILABLE', undefined, { cause })

/** The reason for the operator: the address, without its query and password, and why it gave no keys. */
function explain({ origin, pathname }: URL, cause: unknown): DaypassError {
  const { code, name, cause: inner } = Object(cause)
  const reason = isDaypassError(cause) ? inner : (inner?.code ?? code ?? name)
  const message = `${origin}${pathname} gave no keys: ${reason}. If they are at another address, set \`jwks\` to it.`
  return new DaypassError('ERR_JWKS_UNAVAILABLE', message, { cause })
}
const isCloudflareWorker = () => globalThis.navigator?.userAgent === 'Cloudflare-Workers'
