// Counts the bytes that many entries take, in a process of its own: `npx node --expose-gc bench/memory-child.ts JOB`.

import { setTimeout as delay } from 'node:timers/promises'
import { createDaypass } from '../src/core/daypass.ts'
import { createMemoryStore } from '../src/stores/memory.ts'
import { createVerifier } from '../src/verify/index.ts'
import { createTokenMaker, issuer } from './tokens.ts'

export interface MemoryJob {
  what: 'session' | 'refreshed session' | 'session with claims' | 'token' | 'token with claims' | 'verifier'
  count: number
}

/** `length`: of a token; 0 for anything else. */
export interface MemoryResult {
  bytes: number
  length: number
}

const { what, count } = JSON.parse(process.argv[2]!) as MemoryJob
/** A text that no other entry has, as texts of requests are. */
const fresh = (text: string) => Buffer.from(text).toString('latin1')
const claimsOf = (subject: string) => ({ role: 'admin', team: 'a-team', name: fresh(`Ada ${subject}`) })
const deviceOf = () => ({
  ip: fresh('203.0.113.7'),
  userAgent: fresh('Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'),
})
const secret = 'a secret of a benchmark that guards nothing 0123456789'
const auth = createDaypass({ secret, issuer, algorithm: 'HS256', store: createMemoryStore() })
const tokens = createTokenMaker('HS256')
const jwks = { keys: [tokens.jwk] }
const verifier = createVerifier({ issuer, jwks, cacheSize: 2 * count })
const verifiers: unknown[] = []
let length = 0

const verify = async (token: string) => {
  length = token.length
  await verifier.verify(token)
}

/** Each adds one entry of its kind. */
const kinds: Record<MemoryJob['what'], (subject: string) => unknown> = {
  session: (subject) => auth.issue(subject),
  'refreshed session': async (subject) => auth.refresh((await auth.issue(subject)).refreshToken),
  'session with claims': (subject) => auth.issue(subject, { claims: claimsOf(subject), device: deviceOf() }),
  token: async () => verify(await tokens.make()),
  'token with claims': async (subject) => verify(await tokens.make(claimsOf(subject))),
  verifier: () => verifiers.push(createVerifier({ issuer, jwks })),
}

async function used(): Promise<number> {
  for (let times = 0; times < 4; times++) {
    globalThis.gc!()
    await delay(20)
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const add = kinds[what]
// The first entries also compile the code.
for (let index = 0; index < 1000; index++) await add(`first-${index}`)
const before = await used()
for (let index = 0; index < count; index++) await add(`subject-${index}`)
const bytes = ((await used()) - before) / count
process.send!({ bytes, length } satisfies MemoryResult)
process.disconnect()
