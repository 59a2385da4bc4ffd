// How are passwords kept? scrypt, with its parameters in the text (RFC 7914; OWASP: N=2^15, r=8, p=3).

import { Buffer } from 'node:buffer'
import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { DaypassError } from '../errors.ts'

const derive = promisify<string, Buffer, number, object, Buffer>(scrypt)
// 32 MiB and about a fifth of a second of one core. Node's scrypt, because argon2 would be a dependency on Node 22.
const cost = { N: 2 ** 15, r: 8, p: 3, maxmem: 64 * 2 ** 20 }
const parameters = 'ln=15,r=8,p=3'

// Hashing is done on Node's few threads, which the rest of the process needs as well; who waits too long is told so.
const atOnce = 2
const waitingAtMost = 64
let running = 0
const waiting: (() => void)[] = []

async function hash(password: string, salt: Buffer): Promise<Buffer> {
  if (waiting.length >= waitingAtMost) throw new DaypassError('ERR_OVERLOADED')
  if (running === atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
  else running++
  try {
    // One spelling of what looks the same (NIST SP 800-63B-4 §3.1.1.2).
    return await derive(password.normalize('NFKC'), salt, 32, cost)
  } finally {
    const next = waiting.shift()
    if (next) next()
    else running--
  }
}

/** Makes the text that is kept: `$scrypt$ln=15,r=8,p=3$salt$hash`. Throws `ERR_OVERLOADED`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16)
  const digest = await hash(password, salt)
  return `$scrypt$${parameters}$${salt.toString('base64url')}$${digest.toString('base64url')}`
}

/** Whether a password is the kept one. Takes as long for an account that does not exist (`null`). */
export async function checkPassword(password: string, kept: string | null): Promise<boolean> {
  const [, , , salt, digest] = (kept ?? nobody).split('$')
  const actual = await hash(password, Buffer.from(salt!, 'base64url'))
  return timingSafeEqual(actual, Buffer.from(digest!, 'base64url')) && kept !== null
}

const nobody = `$scrypt$${parameters}$${randomBytes(16).toString('base64url')}$${randomBytes(32).toString('base64url')}`
