// The lifetimes of a session: those that its sign-in brought, and the options' for the rest.

import { optionError, wrongOption } from '../option.ts'
import type { Session } from './session.ts'

/** The lifetimes of one session, in seconds. Those that are absent are the options of `createDaypass`. */
export interface SessionLifetimes {
  /** The session ends after this time without a refresh. At least 2. */
  idleTimeout?: number | undefined
  /**
   * The session ends after this time, however much it is used. Default: the option, or, if `createDaypass` has none either,
   * `idleTimeout` if that is longer.
   */
  absoluteTimeout?: number | undefined
  /**
   * The lifetime of its access tokens: at most 86,400, and shorter than `idleTimeout`. If only `idleTimeout` is given, it
   * is the option, or half of `idleTimeout` if that is less.
   */
  accessTokenLifetime?: number | undefined
  /**
   * Whether the browser keeps the cookie when it is closed. `false` is "remember me" not ticked: the cookie has no
   * `Max-Age`. Default true. It has no meaning for the body transport, where the client chooses its storage.
   */
  persistent?: boolean | undefined
}

/** The options that are used where a session has no lifetime of its own. Milliseconds, `accessTokenLifetime` seconds. */
interface DefaultLifetimes {
  idleTimeout: number
  absoluteTimeout: number
  accessTokenLifetime: number
}

/** An access token lives a second at least, and shorter than the idle timeout. */
export const minIdleTimeout = 2

/** Seconds. Also holds for tokens issued before a deploy with other settings, so rows are kept no longer than this needs. */
export const maxAccessTokenLifetime = 86_400

/**
 * Checks the lifetimes that a sign-in brings.
 *
 * @returns The fields of the row, and the absolute timeout in milliseconds.
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function readLifetimes(
  given: SessionLifetimes,
  defaults: DefaultLifetimes & { isAbsoluteTimeoutGiven: boolean },
): Pick<Session, 'idleTimeout' | 'accessTokenLifetime' | 'persistent'> & { absoluteTimeout: number } {
  const { persistent = true } = given
  if (typeof persistent !== 'boolean') throw wrongOption('persistent', persistent, 'Give true or false.')
  const read = (name: 'idleTimeout' | 'absoluteTimeout' | 'accessTokenLifetime', least: number, most?: number) =>
    given[name] === undefined ? null : readDuration(name, given[name], least, most)
  const [idle, absolute, access] = [
    read('idleTimeout', minIdleTimeout),
    read('absoluteTimeout', 1),
    read('accessTokenLifetime', 1, maxAccessTokenLifetime),
  ]
  const own = {
    idleTimeout: idle === null ? null : Math.round(idle * 1000),
    accessTokenLifetime: access === null ? null : Math.ceil(access),
    persistent,
  }
  // As in the options of `createDaypass`: a longer idle timeout raises the default, and never what the app has chosen.
  const longest = defaults.isAbsoluteTimeoutGiven ? 0 : (own.idleTimeout ?? 0)
  const absoluteTimeout = absolute === null ? Math.max(defaults.absoluteTimeout, longest) : Math.round(absolute * 1000)
  checkOrder({
    accessTokenLifetime: own.accessTokenLifetime ?? accessTokenLifetimeOf(own, defaults),
    idleTimeout: (own.idleTimeout ?? defaults.idleTimeout) / 1000,
    // An absolute timeout may be shorter than the idle timeout of the options: it then ends the session alone.
    absoluteTimeout: own.idleTimeout === null ? Number.POSITIVE_INFINITY : absoluteTimeout / 1000,
  })
  return { ...own, absoluteTimeout }
}

/**
 * The lifetime of a session's access tokens in seconds. Only a refresh shows activity, so it is shorter than the idle
 * timeout, also where one of the two is the session's own and the other one an option that has changed since.
 */
export function accessTokenLifetimeOf(
  { idleTimeout, accessTokenLifetime }: Pick<Session, 'idleTimeout' | 'accessTokenLifetime'>,
  defaults: DefaultLifetimes,
): number {
  const idle = idleTimeout ?? defaults.idleTimeout
  const half = Math.ceil(idle / 2000)
  if (accessTokenLifetime !== null) return accessTokenLifetime * 1000 < idle ? accessTokenLifetime : half
  return idleTimeout === null ? defaults.accessTokenLifetime : Math.min(defaults.accessTokenLifetime, half)
}

/**
 * Checks three lifetimes in seconds against each other.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export function checkOrder({ accessTokenLifetime, idleTimeout, absoluteTimeout }: DefaultLifetimes): void {
  if (accessTokenLifetime >= idleTimeout) {
    throw optionError(
      '`accessTokenLifetime` must be shorter than `idleTimeout`, best by half: only a refresh shows activity.',
    )
  }
  if (idleTimeout > absoluteTimeout) {
    throw optionError(
      `\`idleTimeout\` must not be longer than \`absoluteTimeout\`, which is ${absoluteTimeout} seconds. Give both.`,
    )
  }
}

/** @throws DaypassError `ERR_OPTION_INVALID`. */
export function readDuration(name: string, seconds: number, least: number, most = 3_155_760_000): number {
  if (typeof seconds === 'number' && seconds >= least && seconds <= most) return seconds
  throw wrongOption(name, seconds, `Give a number of seconds, ${least} to ${most}.`)
}
