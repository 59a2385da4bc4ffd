// The protocol under test: the real functions of the server, and the rules of the client. Mutants replace parts of it.

import { childSalt } from '../../src/core/refresh-token.ts'
import { advance, decide, isReadable } from '../../src/core/rotation.ts'
import type { Session } from '../../src/core/session.ts'

/** The parts of the protocol that a mutant may replace. The server's parts are the real ones; the client's follow its rules. */
export interface Protocol {
  decide: typeof decide
  advance: typeof advance
  childSalt: typeof childSalt
  /** The salt of the child that a replay returns. */
  replaySalt(row: Session): Uint8Array
  /** The row after a replay: unchanged. */
  replay(row: Session, now: number, interval: number): Session
  /** The row after a retry without a key: unchanged. */
  retry(row: Session, now: number, interval: number): Session
  /** Whether a token may read its session, for a page that is rendered on a server. */
  isReadable: typeof isReadable
  /** The row after a token read it: unchanged. */
  read(row: Session, presented: { generation: number; salt: Uint8Array }, now: number): Session
  /** Whether the client stores a response: only if it still holds the token (with a cookie: the key) that it sent. */
  applies(held: number, sent: number): boolean
  /** Whether the client stores a key before it sends the key. */
  persistsKey: boolean
  /** Whether the cookie transport also sends the key of its last completed refresh. */
  sendsPrevious: boolean
}

/** A row without a parent is never replayed. */
const none = new Uint8Array()

export const protocol: Protocol = {
  decide,
  advance,
  childSalt,
  replaySalt: (row) => childSalt(row, row.parentKey ?? none, row.parentSalt ?? none),
  replay: (row) => row,
  retry: (row) => row,
  isReadable,
  read: (row) => row,
  applies: (held, sent) => held === sent,
  persistsKey: true,
  sendsPrevious: true,
}
