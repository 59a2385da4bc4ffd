// Warnings for the operator: each has a stable code and is repeated at most once a minute per cause.

/**
 * Every warning. docs/errors.md lists the same codes; a test keeps the two equal.
 *
 * A warning is about something that still works, but not for long or not for everybody. Failures are errors.
 */
export const warningCodes = [
  'DAYPASS_CLOCK_SKEW',
  'DAYPASS_COOKIE_DOMAIN',
  'DAYPASS_ORIGIN_UNLISTED',
  'DAYPASS_PATH_UNKNOWN',
  'DAYPASS_PROXY_UNTRUSTED',
  'DAYPASS_SECRET_UNKNOWN',
  'DAYPASS_TOKEN_FOREIGN',
] as const

/** A stable code: compare with `warning.code`. */
export type WarningCode = (typeof warningCodes)[number]

/** A warning for the operator. It contains no secret. */
export interface Warning {
  code: WarningCode
  /** The problem, and the option that solves it. */
  message: string
}

/** Called with each warning, at most once a minute for each code and cause. */
export type OnWarning = (warning: Warning) => void

/**
 * Emits a warning, unless one with the same code and `cause` was emitted within the last minute. A cause is, for example,
 * the address of a caller: one caller's warnings then do not suppress those about others.
 */
export type Warn = (code: WarningCode, message: string, cause?: string) => void

/** The maximum number of causes of one code in one minute: strangers can make up any number. */
const maxCauses = 16

/**
 * Makes the function that emits warnings. Errors and rejections of `onWarning` are ignored: a warning must not fail a request.
 *
 * @param onWarning Default: `console.warn`.
 * @param clock Milliseconds since any fixed instant. Default `Date.now`.
 */
export function createWarner(
  onWarning: OnWarning = ({ code, message }) => console.warn(`daypass: ${message} (${code})`),
  clock: () => number = Date.now,
): Warn {
  const lastByCode = new Map<WarningCode, Map<string, number>>()
  return (code, message, cause = '') => {
    const now = clock()
    const lastAt = lastByCode.get(code) ?? new Map<string, number>()
    lastByCode.set(code, lastAt)
    for (const [cause, at] of lastAt) {
      // Compare the absolute value: a clock that was set back must not suppress warnings for long.
      if (Math.abs(now - at) >= 60_000) lastAt.delete(cause)
    }
    if (lastAt.has(cause) || (cause !== '' && lastAt.size >= maxCauses)) return
    lastAt.set(cause, now)
    try {
      Promise.resolve(onWarning({ code, message }) as unknown).catch(() => {})
    } catch {}
  }
}
