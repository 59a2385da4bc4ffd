// Where does the time of a refresh go? Its parts, each timed by itself in this process, beside what the whole costs.

import { randomBytes } from 'node:crypto'
import { createAccessTokenSigner } from '../src/core/access-token.ts'
import { createKeys } from '../src/core/keys.ts'
import { childSalt, isTagged, mintRefreshToken, parseRefreshToken } from '../src/core/refresh-token.ts'
import type { Session } from '../src/core/types.ts'
import { figureOf, fixed, percent, printTable, rounds } from './measure.ts'
import type { RefreshCosts } from './refresh.ts'

const secret = randomBytes(32)

/** Prints the parts; `costs` are CPU microseconds of whole refreshes, measured over HTTP in the same run. */
export async function benchBreakdown(costs: RefreshCosts, seconds = 5): Promise<void> {
  const session = { ...newSession(), generation: 1 }
  const { proofKeys } = createKeys(secret, 'HS256')
  const text = mintRefreshToken(session, 1, randomBytes(8), proofKeys[0]!)
  const token = parseRefreshToken(text, proofKeys)!
  const key = randomBytes(16)
  const signers = Object.fromEntries(
    (['EdDSA', 'HS256'] as const).map((algorithm) => [
      algorithm,
      createAccessTokenSigner(createKeys(secret, algorithm).signer, 'https://a.b', 'https://a.b', 900),
    ]),
  )
  const answer = JSON.stringify({
    accessToken: 'x'.repeat(450),
    refreshToken: text,
    expiresIn: 900,
    session: { id: session.id },
  })
  const parts: Record<string, () => unknown> = {
    'sign EdDSA': () => signers.EdDSA!(session, 1_790_000_000_000, 'an-id'),
    'sign HS256': () => signers.HS256!(session, 1_790_000_000_000, 'an-id'),
    'refresh token: proof, tag, child': () => {
      parseRefreshToken(text, proofKeys)
      isTagged(token, session)
      mintRefreshToken(session, 2, childSalt(session, key, token.salt), proofKeys[0]!)
    },
    'JSON, both ways': () => JSON.stringify(JSON.parse(answer)),
  }
  const time = Math.max(20, (seconds * 1000) / 50)
  const measured = await rounds(
    7,
    Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, () => microseconds(part, time)])),
  )
  const cost = (name: string) => figureOf(measured[name]!).median
  const rows = [['CPU µs', 'EdDSA', 'of it', 'HS256', 'of it']]
  const row = (name: string, eddsa: number, hs256: number) =>
    rows.push([name, fixed(eddsa, 1), percent(eddsa / costs.EdDSA), fixed(hs256, 1), percent(hs256 / costs.HS256)])
  row('a whole refresh, memory:', costs.EdDSA, costs.HS256)
  row('HTTP alone, a fixed answer', costs.http, costs.http)
  row('the access token’s signature', cost('sign EdDSA'), cost('sign HS256'))
  for (const name of ['refresh token: proof, tag, child', 'JSON, both ways']) row(name, cost(name), cost(name))
  printTable('Where the time of a refresh goes', rows)
}

function microseconds(part: () => unknown, time: number): number {
  const end = performance.now() + time
  const began = process.cpuUsage()
  let count = 0
  while (performance.now() < end) {
    for (let index = 0; index < 50; index++) part()
    count += 50
  }
  const { user, system } = process.cpuUsage(began)
  return (user + system) / count
}

function newSession(): Session {
  const now = Date.now()
  return {
    id: randomBytes(16).toString('base64url'),
    subject: 'subject-1',
    clientId: 'first-party',
    scope: '',
    claims: {},
    generation: 0,
    secret: randomBytes(16),
    parentSalt: null,
    parentKey: null,
    burstAt: 0,
    burstGeneration: 0,
    rotatedAt: now,
    createdAt: now,
    authTime: now,
    amr: [],
    idleExpiresAt: now + 604_800_000,
    expiresAt: now + 2_592_000_000,
    jkt: null,
    device: {},
    revokedAt: null,
    revokedReason: null,
  }
}
