// The words for instants, durations and failures.

import { isOffline, isSignedOut } from 'daypass/client'
import { language, locale, words } from './words.ts'

const second = ['second', 1] as const
const units = [['day', 86_400], ['hour', 3600], ['minute', 60], second] as const

/** Seconds in the largest unit that fits: "15 minutes". */
export function sayDuration(seconds: number): string {
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? second
  const amount = Math.round((seconds / size) * 10) / 10
  // A duration stands in a sentence, so its unit is in the language of the page.
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'long' }).format(amount)
}

const dateAndTime = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' })
const dayAndTime = new Intl.DateTimeFormat(locale, {
  day: 'numeric',
  month: 'short',
  hour: 'numeric',
  minute: '2-digit',
})
const timeOnly = new Intl.DateTimeFormat(locale, { timeStyle: 'medium' })
const number = new Intl.NumberFormat(locale)

/** "Nov 21, 2026, 5:13 AM", as the person writes it. */
export const sayWhen = (instant: number) => dateAndTime.format(instant)

/** "Nov 21, 5:13 AM", for an instant that was not long ago. */
export const sayRecent = (instant: number) => dayAndTime.format(instant)

/** "5:13:27 AM". */
export const sayTime = (instant: number) => timeOnly.format(instant)

/** "1,234". */
export const sayNumber = (value: number) => number.format(value)

/** "just now", "4 minutes ago". */
export function sayAgo(instant: number, now: number): string {
  const seconds = Math.floor((now - instant) / 1000)
  if (seconds < 60) return words.justNow
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? second
  return new Intl.RelativeTimeFormat(language).format(-Math.floor(seconds / size), unit)
}

const tenths = new Intl.NumberFormat(locale, { minimumFractionDigits: 1, maximumFractionDigits: 1 })

/** The time that an access token has left: "1.4 s", "14:59". */
export function sayLeft(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000
  if (seconds < 60) return `${tenths.format(Math.floor(seconds * 10) / 10)} s`
  const pad = (value: number) => String(Math.floor(value)).padStart(2, '0')
  const minutes = `${pad((seconds / 60) % 60)}:${pad(seconds % 60)}`
  return seconds < 3600 ? minutes : `${Math.floor(seconds / 3600)}:${minutes}`
}

/** A failed request: the server's response, as far as there is one. */
interface Failure {
  status?: number | undefined
  retryAfter?: number | undefined
  body?: { code?: unknown; message?: unknown } | undefined
}

/** A failure in words, with what to do about it. */
export function sayFailure(failure: unknown): string {
  if (isSignedOut(failure)) return words.failure.signedOut
  const { status = 0, retryAfter, body } = (failure ?? {}) as Failure
  const wait = retryAfter === undefined ? words.failure.aMoment : sayDuration(Math.ceil(retryAfter))
  if (status === 429) return words.failure.limited(wait)
  if (status >= 500) return words.failure.server(wait)
  if (isOffline(failure) || status === 0) return words.failure.away
  return typeof body?.message === 'string' ? body.message : words.failure.refused(status)
}

/** Reads a response that is an error. */
export async function readFailure(response: Response): Promise<Failure> {
  const retryAfter = Number(response.headers.get('retry-after')) || undefined
  return { status: response.status, retryAfter, body: Object(await response.json().catch(() => ({}))) }
}
