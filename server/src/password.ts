// Password hashes: argon2id (RFC 9106) with OWASP's parameters, in PHC's format.

import { hash, verify } from '@node-rs/argon2'
import { DaypassError } from 'daypass'

/** 19 MiB, two passes, one lane. The default algorithm is argon2id. */
const cost = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

// Hashing runs on Node's few threads, which the rest of the process needs as well. Too many waiting calls are rejected.
const atOnce = 2
const waitingAtMost = 64
let running = 0
const waiting: (() => void)[] = []

/**
 * Runs a body that hashes when it is its turn.
 *
 * @throws DaypassError `ERR_OVERLOADED`.
 */
export async function takeTurn<T>(body: () => Promise<T>): Promise<T> {
  if (waiting.length >= waitingAtMost) throw new DaypassError('ERR_OVERLOADED')
  if (running === atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    return await body()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}

/** One spelling of texts that look the same (NIST SP 800-63B-4 §3.1.1.2). */
const normalize = (password: string) => password.normalize('NFKC')

/** Makes the text that is stored. Call it within {@link takeTurn}. */
export const hashPassword = (password: string): Promise<string> => hash(normalize(password), cost)

let nobody: Promise<string> | undefined

/** Whether a password is the stored one. Takes as long for an account that does not exist (`null`). */
export async function checkPassword(password: string, stored: string | null): Promise<boolean> {
  nobody ??= hashPassword('the password of no account')
  const isRight = await verify(stored ?? (await nobody), normalize(password))
  return isRight && stored !== null
}
