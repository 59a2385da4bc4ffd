// Parameters and texts for the fuzz tests. After a failure fast-check prints seed and path: repeat it with DAYPASS_TEST_SEED.
// FUZZ_RUNS multiplies the number of runs (10 at night).

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { isDaypassError } from '../../src/errors.ts'

const times = Number(process.env.FUZZ_RUNS) || 1
const seed = Number(process.env.DAYPASS_TEST_SEED)

/** Parameters of a property that runs at least so many examples. */
export const runs = (count: number) => ({
  numRuns: Math.ceil(count * times),
  // A short run needs no smallest example either (mutation tests).
  ...(times < 1 && { endOnFailure: true }),
  ...(Number.isInteger(seed) && seed > 0 && { seed }),
})

/** Any text: letters, code points, lone surrogates, and the special characters of headers and JSON. */
export const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom(...'"\\;=, \t\r\n\0%{}[]:.-_~+/AZaz09é𝄞'), maxLength: 300 }),
)

/** The text after a few small changes: letters inserted, removed, replaced, doubled, changed in case or order. */
export const changed = (text: string): fc.Arbitrary<string> =>
  fc
    .array(
      fc.tuple(fc.nat(text.length), fc.nat(6), fc.string({ minLength: 1, maxLength: 3, unit: 'binary' }), fc.nat(8)),
      {
        minLength: 1,
        maxLength: 4,
      },
    )
    .map((changes) => changes.reduce((each, [at, kind, piece, length]) => change(each, at, kind, piece, length), text))

function change(text: string, at: number, kind: number, piece: string, length: number): string {
  const [before, after] = [text.slice(0, at), text.slice(at)]
  switch (kind) {
    case 0:
      return before + piece + after
    case 1:
      return before + after.slice(1)
    case 2:
      return before + piece + after.slice(piece.length)
    case 3:
      return before + after.slice(0, length) + after
    case 4:
      return before + after.slice(0, 1).toUpperCase() + after.slice(1)
    case 5:
      return after + before
    default:
      // Replaces a letter with its neighbour, so that a single bit of the bytes differs.
      return before + String.fromCharCode((after.charCodeAt(0) || 65) ^ 1) + after.slice(1)
  }
}

/** The result of a call, or undefined if it throws one of our errors. Any other error, or slowness, is a failure. */
export function outcome<T>(call: () => T): T | undefined {
  const began = process.cpuUsage()
  try {
    return call()
  } catch (error) {
    assert.ok(isDaypassError(error), `not one of our errors: ${(error as Error)?.stack ?? error}`)
    return undefined
  } finally {
    assertSoon(began)
  }
}

/** The same for an asynchronous call. */
export async function laterOutcome<T>(call: () => Promise<T>): Promise<T | undefined> {
  const began = process.cpuUsage()
  try {
    return await call()
  } catch (error) {
    assert.ok(isDaypassError(error), `not one of our errors: ${(error as Error)?.stack ?? error}`)
    return undefined
  } finally {
    assertSoon(began)
  }
}

/** Each call takes much less than a second of the processor. The clock on the wall would count a busy machine's pauses. */
const assertSoon = (began: NodeJS.CpuUsage) =>
  assert.ok(process.cpuUsage(began).user < 1e6, 'it took more than a second')

/** Asserts that no prototype has a new member. */
export function assertUnpolluted(): void {
  assert.deepEqual(Object.keys(Object.prototype), [])
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  assert.equal(([] as unknown as Record<string, unknown>).polluted, undefined)
}
