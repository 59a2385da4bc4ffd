// Warnings for the operator: each has a stable code and is given at most once a minute.

/**
 * Every warning. docs/errors.md lists the same codes; a test keeps the two equal.
 *
 * A warning is about something that works, and will not for long or for everybody. What fails is an error.
 */
export const warningCodes = ['DAYPASS_CLOCK_SKEW', 'DAYPASS_PROXY_UNTRUSTED', 'DAYPASS_SECRET_UNKNOWN'] as const

/** A stable code: compare with `warning.code`. */
export type WarningCode = (typeof warningCodes)[number]

/** What an operator should change. No secret is in it. */
export interface Warning {
  code: WarningCode
  /** What is wrong, and the option that mends it. */
  message: string
}

/** Is given each warning, at most one a minute of each code. */
export type OnWarning = (warning: Warning) => void

/** Warns, unless the same code was given within the last minute. */
export type Warn = (code: WarningCode, message: string) => void

/**
 * Makes the function that warns. What `onWarning` throws or rejects with is ignored: a warning fails no request.
 *
 * @param onWarning Default: `console.warn`.
 * @param clock Milliseconds since any instant that stays the same. Default `Date.now`.
 */
export function createWarner(
  onWarning: OnWarning = ({ code, message }) => console.warn(`daypass: ${message} (${code})`),
  clock: () => number = Date.now,
): Warn {
  const lastAt = new Map<WarningCode, number>()
  return (code, message) => {
    const now = clock()
    // A clock that was set back counts as a minute that has passed.
    if (Math.abs(now - (lastAt.get(code) ?? Number.NEGATIVE_INFINITY)) < 60_000) return
    lastAt.set(code, now)
    try {
      Promise.resolve(onWarning({ code, message }) as unknown).catch(() => {})
    } catch {}
  }
}
