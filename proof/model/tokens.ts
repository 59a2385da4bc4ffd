// Real refresh tokens and real key hashes, each created once; the model knows them by number.

import { createHmacSha256 } from '../../src/core/hmac.ts'
import {
  hashIdempotencyKey,
  isTagged,
  mintRefreshToken,
  parseRefreshToken,
  type RefreshToken,
} from '../../src/core/refresh-token.ts'
import type { Session } from '../../src/core/session.ts'
import { at } from '../at.ts'

const proofKey = { id: 7, hmac: createHmacSha256(Buffer.alloc(32, 1)) }

/** Token n is at n − 1, because 0 stands for no token. */
const tokens: RefreshToken[] = []
/** The name of each token in a story. Siblings have letters: the second token of generation 3 is `token 3b`. */
const names: string[] = []
const numbers = new Map<string, number>()

/** The number of the token of a generation with a salt. */
export function mint(row: Session, generation: number, salt: Uint8Array): number {
  const name = `${generation}.${Buffer.from(salt).toString('hex')}`
  const known = numbers.get(name)
  if (known !== undefined) return known
  const parsed = parseRefreshToken(mintRefreshToken(row, generation, salt, proofKey), [proofKey])
  if (parsed === null || !isTagged(parsed, row)) throw new Error('The server does not recognize its own token')
  const older = tokens.filter((other) => other.generation === generation).length
  names.push(`token ${generation}${older === 0 ? '' : String.fromCharCode(97 + Math.min(older, 25))}`)
  const number = tokens.push(parsed)
  numbers.set(name, number)
  return number
}

export const getToken = (token: number): RefreshToken => at(tokens, token - 1)
export const generationOf = (token: number): number => getToken(token).generation

export const describeToken = (token: number): string => at(names, token - 1)

/** Keys of the thief's own begin here. The owner never makes so many. */
export const thiefKeysFrom = 100
const keyHashes = Array.from({ length: 199 }, (_, index) => hashIdempotencyKey(`key-${index + 1}-0123456789abcdef`))

/** The hash of a key; 0 is no key. */
export const keyHash = (key: number): Uint8Array | null => (key === 0 ? null : at(keyHashes, key - 1))

export const randomSalt = (n: number): Uint8Array => Buffer.from([1, 2, 3, 4, 5, 6, n >> 8, n & 255])
