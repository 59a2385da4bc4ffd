// Warnings for the operator: each has a stable code and is given at most once a minute for one cause.

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

/** Is given each warning, at most one a minute of each code and cause. */
export type OnWarning = (warning: Warning) => void

/**
 * Warns, unless the same was given within the last minute: the same code, for the same `cause` where there are several,
 * such as the addresses of callers. A stranger's cause then hides nobody else's.
 */
export type Warn = (code: WarningCode, message: string, cause?: string) => void

/** Causes that are warned of in one minute at the most: strangers can make up any number. */
const mostCauses = 16

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
  const lastAt = new Map<string, number>()
  return (code, message, cause = '') => {
    const now = clock()
    for (const [key, at] of lastAt) {
      // A clock that was set back counts as a minute that has passed.
      if (Math.abs(now - at) >= 60_000) lastAt.delete(key)
    }
    const key = `${code} ${cause}`
    if (lastAt.has(key) || (cause !== '' && lastAt.size >= mostCauses)) return
    lastAt.set(key, now)
    try {
      Promise.resolve(onWarning({ code, message }) as unknown).catch(() => {})
    } catch {}
  }
}
