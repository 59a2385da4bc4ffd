// The interface between a store and the contract, and helpers for the rules.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { bufferOf } from '../core/bytes.ts'
import { beginSession, type Session } from '../core/session.ts'
import type { Advance, Store } from '../core/store.ts'

/** Gives the contract access to one engine. */
export interface StoreHarness {
  /** Makes a store on an empty database of its own. The rule that called `open` closes the store. */
  open(): Promise<Store>
  /** Returns everything that the engine holds for this store as bytes or text: files, rows, keys and logs. */
  rawRows(store: Store): Promise<(Uint8Array | string)[]>
  /** Deletes the database that `open` made. Called after every rule, when the store is closed. */
  cleanup?(): Promise<void>
  /** Prints a line, such as a seed. */
  note?(line: string): void
}

/** One rule of the contract: the name of a test, and the test itself. */
export interface StoreRule {
  readonly name: string
  run(harness: StoreHarness): Promise<void>
}

/** The tools of one rule. Times are real, because an engine may expire rows by its own clock. */
export interface Bench {
  store: Store
  harness: StoreHarness
  /** The instant the rule began, in whole milliseconds. */
  t0: number
  /** Writes a session with these members, and returns the row that was written. */
  create(members?: Partial<Session>): Promise<Session>
  /** A step that redeems the session's newest token, one second after `t0`. */
  step(session: Session, members?: Partial<Advance>): Advance
}

/** The issuer that the contract's rows belong to. */
export const issuer = 'https://issuer.example'

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute

/** Makes a rule. It opens a store, runs the body, and closes and cleans up even if the body failed. */
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
    idleTimeout: hour,
    reuseInterval: 30 * second,
    ...members,
  }
}

/** Random bytes as a plain Uint8Array, not as a Buffer. */
export const bytes = (size: number): Uint8Array => new Uint8Array(randomBytes(size))

/** A session id as `issue` makes it. */
export const freshId = (): string => randomBytes(16).toString('base64url')

/** A row with its bytes as text. It makes a Buffer equal to a Uint8Array, and an absent member equal to undefined. */
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

/** Returns the row, and fails the rule if there is none. */
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
