// Where do the random bytes of salts and ids come from? From the system, four kilobytes at a time: asking costs the same
// for eight bytes as for thousands (crypto.randomUUID does likewise).

import { randomFillSync } from 'node:crypto'

const pool = new Uint8Array(4096)
let used = pool.length

/** Random bytes of the caller's own, `crypto.randomBytes` for small sizes at a tenth of the cost. */
export function randomBytes(size: number): Uint8Array {
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  const bytes = pool.slice(used, used + size)
  // What was handed out is nowhere else any more.
  pool.fill(0, used, used + size)
  used += size
  return bytes
}
