// The interface between a store's author and the contract, and helpers for its rules.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { bufferOf } from '../core/bytes.ts'
import { beginSession, type Session } from '../core/session.ts'
import type { Advance, Store } from '../core/store.ts'

/** One engine, as the contract sees it. */
export interface StoreHarness {
  /** A store on an empty database of its own. It is closed by the rule that opened it. */
  open(): Promise<Store>
  /** Everything that the engine holds for this store: files, rows, keys, logs, as bytes or text. */
  rawRows(store: Store): Promise<(Uint8Array | string)[]>
  /** Called after every rule, when its store is closed: drops what `open` made. */
  cleanup?(): Promise<void>
  /** Takes a line worth printing, such as a seed. */
  note?(line: string): void
}

/** One rule of the contract: a name for the test, and the test. */
export interface StoreRule {
  readonly name: string
  run(harness: StoreHarness): Promise<void>
}

/** What one rule works with. Times begin now, as real as they are: an engine may expire rows by its own clock. */
export interface Bench {
  store: Store
  harness: StoreHarness
  /** The instant the rule began, in whole milliseconds. */
  t0: number
  /** Writes a session with these members and gives the row as it was written. */
  create(members?: Partial<Session>): Promise<Session>
  /** A step that fits the session as it is given, a second after it was made. */
  step(session: Session, members?: Partial<Advance>): Advance
}

/** The issuer that the contract's rows belong to. */
export const issuer = 'https://issuer.example'

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute

/** Makes a rule: opens a store, runs the body, and closes and cleans up whatever became of it. */
export function rule(name: string, body: (bench: Bench) => Promise<void>): StoreRule {
  return {
    name,
    async run(harness) {
      const store = await harness.open()
      try {
        await store.open(issuer)
        await body(createBench(store, harness))
      } finally {
        await store.close()
        await harness.cleanup?.()
      }
    },
  }
}

function createBench(store: Store, harness: StoreHarness): Bench {
  const t0 = Date.now()
  return {
    store,
    harness,
    t0,
    async create(members) {
      const session = makeSession(t0, members)
      await store.create(session)
      return session
    },
    step: (session, members) => makeStep(session, t0 + second, members),
  }
}

/** A session as `issue` makes it. */
export function makeSession(now: number, members: Partial<Session> = {}): Session {
  const [id, secret, expiresAt] = [freshId(), bytes(16), now + 24 * hour]
  const beginning = { id, subject: 'subject-1', clientId: 'first-party', secret, createdAt: now, expiresAt }
  return { ...beginSession(beginning), idleExpiresAt: now + hour, ...members }
}

/** A step that redeems the session's newest token at `now`. */
export function makeStep(session: Session, now: number, members: Partial<Advance> = {}): Advance {
  return {
    id: session.id,
    generation: session.generation,
    salt: bytes(8),
    key: null,
    now,
    idleExpiresAt: now + hour,
    reuseInterval: 30 * second,
    ...members,
  }
}

/** Fresh random bytes, as plain a Uint8Array as there is. */
export const bytes = (size: number): Uint8Array => new Uint8Array(randomBytes(size))

/** A session id as `issue` makes it. */
export const freshId = (): string => randomBytes(16).toString('base64url')

/** A row with its bytes as text, so that a Buffer and a Uint8Array, and a member absent and undefined, are the same. */
export function plain(session: Session | null | undefined) {
  if (session === null || session === undefined) return null
  const { secret, parentSalt, parentKey, device, ...rest } = session
  return {
    ...rest,
    secret: hex(secret),
    parentSalt: hex(parentSalt),
    parentKey: hex(parentKey),
    device: { userAgent: device.userAgent, ip: device.ip, label: device.label },
  }
}

/** Asserts that two rows are equal in every member. */
export function sameRow(actual: Session | null | undefined, expected: Session | null, message?: string): void {
  assert.deepEqual(plain(actual), plain(expected), message)
}

/** The row is there, or the rule has failed. */
export async function findRow(store: Store, id: string): Promise<Session> {
  const row = await store.find(id)
  assert.ok(row !== null, 'the row is gone')
  return row
}

const hex = (value: Uint8Array | null) => {
  if (value === null) return null
  assert.ok(value instanceof Uint8Array, 'bytes come back as Uint8Array')
  return bufferOf(value).toString('hex')
}
