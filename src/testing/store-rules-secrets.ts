// Rules of the store contract for secrets: the rows of a running Daypass hold nothing that a thief could use.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Daypass } from '../core/api.ts'
import { createDaypass } from '../core/daypass.ts'
import { createHmacSha256 } from '../core/hmac.ts'
import { createKeys } from '../core/keys.ts'
import { childSalt, mintRefreshToken } from '../core/refresh-token.ts'
import type { Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { isDaypassError } from '../errors.ts'
import { createFakeClock, type FakeClock } from './clock.ts'
import { bytes, findRow, issuer, rule, type StoreHarness, type StoreRule } from './store-harness.ts'

/** The rules that run a whole Daypass on the store. */
export const secretRules: readonly StoreRule[] = [
  rule(
    'after a life of refreshes the engine holds no token, no proof, no live salt, no key and no JWT',
    async (bench) => {
      const { store, harness } = bench
      const { auth, secret, used, live } = await liveALittle(store)
      const raw = await dump(harness, store)
      const { id } = (await auth.sessions('subject-1'))[0]!
      const row = await findRow(store, id)
      assert.ok(raw.contains('subject-1'), 'the search finds text')
      assert.ok(raw.contains(row.secret), 'the search finds bytes')

      raw.lacks('the server secret', secret)
      for (const token of used.refreshTokens) {
        const { tag, proof } = parts(token)
        raw.lacks('a refresh token', token, token.slice(4))
        raw.lacks('the bytes of a refresh token', Buffer.from(token.slice(4), 'base64url'))
        raw.lacks('a tag', tag)
        raw.lacks('a proof', proof)
      }
      raw.lacks('the salt of the live token', parts(live).salt)
      for (const token of used.accessTokens) raw.lacks('an access token', token, token.split('.')[2]!)
      for (const key of used.keys) raw.lacks('an Idempotency-Key', key, Buffer.from(key, 'base64url'))
      await auth.refresh(live)
    },
  ),

  rule(
    'a thief with the rows but not the server secret cannot forge a token, and the attempt ends no session',
    async (bench) => {
      const { store } = bench
      const { auth, live } = await liveALittle(store)
      const { id } = (await auth.sessions('subject-1'))[0]!
      const row = await findRow(store, id)
      const salts = [row.parentSalt!, bytes(8), new Uint8Array(8), childSalt(row, row.parentKey!, row.parentSalt!)]
      const keys = [row.secret, row.parentKey!, row.parentSalt!, new Uint8Array(32), bytes(32), Buffer.from(row.id)]
      const { keyId } = parts(live)
      for (const generation of [row.generation - 1, row.generation, row.generation + 1]) {
        for (const salt of salts) {
          for (const key of keys) {
            const forged = mintRefreshToken(row, generation, salt, { id: keyId, hmac: createHmacSha256(key) })
            await refused(auth, forged)
            await refused(auth, forged, Buffer.from(row.parentKey!).toString('base64url'))
          }
        }
      }
      const after = await findRow(store, id)
      assert.equal(after.revokedAt, null)
      assert.equal(after.generation, row.generation)
      await auth.refresh(live)
    },
  ),

  rule('a thief with the server secret but not the rows cannot forge a token', async (bench) => {
    const { store } = bench
    const { auth, live, proofKey } = await liveALittle(store)
    const { id } = (await auth.sessions('subject-1'))[0]!
    const row = await findRow(store, id)
    // Every access token contains the session's id. The thief has to guess the session's secret.
    const guess: Session = { ...row, secret: bytes(16) }
    await refused(auth, mintRefreshToken(guess, row.generation, bytes(8), proofKey))
    // A valid proof with a wrong tag shows that the server secret was stolen, so the session ends.
    assert.equal((await findRow(store, id)).revokedReason, 'forgery')
    await assert.rejects(auth.refresh(live), (error) => isDaypassError(error, 'ERR_SESSION_REVOKED'))
  }),

  rule('a whole session on this store: lost responses, late replays, a theft detected, sign-out', async ({ store }) => {
    const { auth, clock } = createTestDaypass(store)
    const first = await auth.issue('subject-1', { claims: { role: 'admin' }, device: { label: 'phone' } })
    const key = newKey()
    const second = await auth.refresh(first.refreshToken, { idempotencyKey: key })
    clock.advance(86_400)
    const again = await auth.refresh(first.refreshToken, { idempotencyKey: key })
    assert.equal(again.outcome, 'replayed')
    assert.equal(again.refreshToken, second.refreshToken)
    const third = await auth.refresh(second.refreshToken, { idempotencyKey: newKey() })
    const [a, b] = await Promise.allSettled([
      auth.refresh(third.refreshToken, { idempotencyKey: newKey() }),
      auth.refresh(third.refreshToken, { idempotencyKey: newKey() }),
    ])
    const outcomes = [a, b].map((each) => (each.status === 'fulfilled' ? 'won' : each.reason.code)).sort()
    assert.deepEqual(outcomes, ['ERR_REFRESH_SUPERSEDED', 'won'])
    clock.advance(60)
    assert.equal((await auth.sessions('subject-1')).length, 1)
    const reused = (error: unknown) => isDaypassError(error, 'ERR_REFRESH_TOKEN_REUSED')
    await assert.rejects(auth.refresh(first.refreshToken, { idempotencyKey: newKey() }), reused)
    assert.deepEqual(await auth.sessions('subject-1'), [])

    const next = await auth.issue('subject-1')
    assert.equal(await auth.revoke(next.session.id), true)
    const revoked = (error: unknown) => isDaypassError(error, 'ERR_SESSION_REVOKED')
    await assert.rejects(auth.refresh(next.refreshToken), revoked)
    clock.advance(40 * 86_400)
    // Use the moved clock. `auth.prune` would also use the engine's clock.
    assert.equal(await store.prune(clock.clock(), 500), 2)
    assert.equal(await store.find(next.session.id), null)
  }),

  rule('texts that an engine cannot store are cleaned in a request, and rejected from the app', async ({ store }) => {
    const { auth } = createTestDaypass(store)
    const odd = 'a\u0000b\ud800c\udfff'
    const cleaned = 'a\ufffdb\ufffdc\ufffd'
    // The limit of 255 characters falls inside a surrogate pair.
    const long = `${'x'.repeat(254)}🦊`
    const claims = { [odd]: odd }
    const first = await auth.issue('subject-1', { claims, device: { userAgent: odd, ip: odd, label: `${odd}\uffff` } })
    const second = await auth.issue('subject-2', { device: { userAgent: long, ip: long, label: long } })
    const [one] = await auth.sessions('subject-1')
    assert.deepEqual(one!.device, { userAgent: cleaned, ip: cleaned, label: `${cleaned}\ufffd` })
    assert.deepEqual(one!.claims, claims)
    const cut = `${'x'.repeat(254)}\ufffd`
    const [two] = await auth.sessions('subject-2')
    assert.deepEqual(two!.device, { userAgent: cut, ip: 'x'.repeat(60), label: cut })

    // Another subject's refresh may be in the same batch.
    const request = { idempotencyKey: newKey(), ip: odd, userAgent: odd }
    const refreshed = await Promise.all([
      auth.refresh(first.refreshToken, request),
      auth.refresh(second.refreshToken, { idempotencyKey: newKey(), ip: '192.0.2.7' }),
    ])
    assert.deepEqual(refreshed[0].session.claims, claims)
    assert.deepEqual((await auth.verify(refreshed[0].accessToken)).claims[odd], odd)
    assert.equal((await auth.sessions('subject-1'))[0]!.device.ip, cleaned)
    assert.equal((await auth.sessions('subject-2'))[0]!.device.ip, '192.0.2.7')

    const isRefused = (error: unknown) => isDaypassError(error, 'ERR_OPTION_INVALID')
    for (const bad of ['a\u0000', '\u0000', 'a\ud800', '\udfff', 'a\ufffe', '\uffff']) {
      await assert.rejects(auth.issue(bad), isRefused)
      for (const option of [{ clientId: bad }, { scope: bad }, { amr: [bad] }]) {
        await assert.rejects(auth.issue('subject-1', option), isRefused)
      }
    }
    await assert.rejects(auth.issue('subject-1', { claims: { name: 'a\uffff' } }), (error) =>
      isDaypassError(error, 'ERR_CLAIMS_INVALID'),
    )
    // An engine that replaces half a surrogate pair would confuse these subjects.
    await auth.issue('a\ufffd')
    for (const nobody of ['a\u0000', 'a\ud800', 'a\udfff', 'a\uffff']) {
      assert.deepEqual(await auth.sessions(nobody), [])
      assert.equal(await auth.revokeSubject(nobody), 0)
    }
    for (const id of ['\u0000', '\ud800', `${one!.id}\u0000`]) assert.equal(await auth.revoke(id), false)
    for (const token of ['dpr_\u0000', `${first.refreshToken}\u0000`, '\ud800'.repeat(64)]) {
      await refused(auth, token)
      assert.equal(await auth.revokeToken(token), false)
    }
    assert.equal((await auth.sessions('a\ufffd')).length, 1)
    assert.equal((await auth.sessions('subject-1')).length, 1)
  }),
]

const newKey = () => randomBytes(24).toString('base64url')

function createTestDaypass(store: Store): { auth: Daypass; secret: Buffer; clock: FakeClock } {
  const clock = createFakeClock(Date.now())
  const secret = randomBytes(48)
  return { auth: createDaypass({ secret, issuer, store, clock: clock.clock }), secret, clock }
}

/** Issues, refreshes 30 times with keys, replays, races, and refreshes without a key. Returns all issued tokens. */
async function liveALittle(store: Store) {
  const { auth, secret, clock } = createTestDaypass(store)
  const used = { refreshTokens: [] as string[], accessTokens: [] as string[], keys: [] as string[] }
  const keep = <T extends { refreshToken: string; accessToken: string }>(tokens: T) => {
    used.refreshTokens.push(tokens.refreshToken)
    used.accessTokens.push(tokens.accessToken)
    return tokens.refreshToken
  }
  let live = keep(
    await auth.issue('subject-1', { claims: { role: 'admin' }, device: { userAgent: 'UA', ip: '192.0.2.1' } }),
  )
  for (let i = 0; i < 30; i++) {
    const idempotencyKey = newKey()
    used.keys.push(idempotencyKey)
    clock.advance(i % 3 === 0 ? 3600 : 1)
    const before = live
    live = keep(await auth.refresh(before, { idempotencyKey, ip: '192.0.2.2' }))
    if (i % 5 === 0) assert.equal(keep(await auth.refresh(before, { idempotencyKey })), live)
    if (i % 7 === 0) await auth.refresh(before, { idempotencyKey: newKey() }).catch(() => {})
    if (i % 10 === 4) live = keep(await auth.refresh(live))
    await auth.verify(used.accessTokens.at(-1)!)
  }
  // The last rotation has a key. The row then holds every input of the child's salt, but no token.
  const idempotencyKey = newKey()
  used.keys.push(idempotencyKey)
  live = keep(await auth.refresh(live, { idempotencyKey }))
  return { auth, secret, used, live, proofKey: proofKeyOf(secret) }
}

/** Derives the proof key as `createDaypass` does. A thief of the server secret can do the same. */
function proofKeyOf(secret: Buffer) {
  return createKeys(secret, issuer, 'EdDSA').proofKeys[0]!
}

async function refused(auth: Daypass, refreshToken: string, idempotencyKey?: string): Promise<void> {
  await assert.rejects(auth.refresh(refreshToken, { idempotencyKey }), (error) =>
    isDaypassError(error, 'ERR_REFRESH_TOKEN_INVALID'),
  )
}

/** The parts of a refresh token. */
function parts(token: string) {
  const all = Buffer.from(token.slice(4), 'base64url')
  return { keyId: all[1]!, salt: all.subarray(22, 30), tag: all.subarray(30, 46), proof: all.subarray(46) }
}

/** Searches everything that the engine holds, for the usual encodings of bytes. */
async function dump(harness: StoreHarness, store: Store) {
  const held = (await harness.rawRows(store)).map((part) =>
    typeof part === 'string' ? Buffer.from(part) : Buffer.from(part),
  )
  const spellings = (needle: string | Uint8Array): Buffer[] => {
    if (typeof needle === 'string') return [Buffer.from(needle), Buffer.from(needle, 'utf16le')]
    const buffer = Buffer.from(needle)
    const texts = [buffer.toString('hex'), buffer.toString('hex').toUpperCase()]
    // Leave out the last characters, which depend on the bytes that follow and on padding.
    texts.push(buffer.toString('base64').replace(/.?=*$/, ''), buffer.toString('base64url').slice(0, -1))
    texts.push(JSON.stringify([...buffer]).slice(1, -1))
    return [buffer, ...texts.map((text) => Buffer.from(text))]
  }
  const contains = (needle: string | Uint8Array) =>
    spellings(needle).some((spelling) => held.some((part) => part.includes(spelling)))
  return {
    contains,
    lacks(what: string, ...needles: (string | Uint8Array)[]) {
      for (const needle of needles) assert.ok(!contains(needle), `the engine holds ${what}`)
    },
  }
}
