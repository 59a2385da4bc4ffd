// The words for instants, durations and failures.

import { isOffline, isSignedOut } from 'daypass/client'

const second = ['second', 1] as const
const units = [['day', 86_400], ['hour', 3600], ['minute', 60], second] as const

/** Seconds in the largest unit that fits: "15 minutes". */
export function sayDuration(seconds: number): string {
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? second
  const amount = Math.round((seconds / size) * 10) / 10
  return new Intl.NumberFormat('en', { style: 'unit', unit, unitDisplay: 'long' }).format(amount)
}

const dateAndTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short' })
const dayAndTime = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  hour: '2-digit',
  minute: '2-digit',
})
const timeOnly = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' })

/** "21 Nov 2026, 05:13". */
export const sayWhen = (instant: number) => dateAndTime.format(instant)

/** "21 Nov, 05:13", for what was not long ago. */
export const sayRecent = (instant: number) => dayAndTime.format(instant)

/** "05:13:27". */
export const sayTime = (instant: number) => timeOnly.format(instant)

/** "just now", "4 minutes ago". */
export function sayAgo(instant: number, now: number): string {
  const seconds = Math.floor((now - instant) / 1000)
  if (seconds < 60) return 'just now'
  const [unit, size] = units.find(([, size]) => seconds >= size) ?? second
  return new Intl.RelativeTimeFormat('en').format(-Math.floor(seconds / size), unit)
}

/** The time that an access token has left: "1.4 s", "14:59". */
export function sayLeft(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000
  if (seconds < 60) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`
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
  if (isSignedOut(failure)) return 'You are signed out. Sign in and try again.'
  const { status = 0, retryAfter, body } = (failure ?? {}) as Failure
  const wait = retryAfter === undefined ? 'a moment' : sayDuration(Math.ceil(retryAfter))
  if (status === 429) return `Too many tries. Wait ${wait}, then try again.`
  if (status >= 500) return `The server has a problem. Wait ${wait}, then try again.`
  if (isOffline(failure) || status === 0) return 'The server does not respond. Check that it is running and try again.'
  return typeof body?.message === 'string' ? body.message : `The server refused this (HTTP ${status}). Try again.`
}

/** Reads a response that is an error. */
export async function readFailure(response: Response): Promise<Failure> {
  const retryAfter = Number(response.headers.get('retry-after')) || undefined
  return { status: response.status, retryAfter, body: Object(await response.json().catch(() => ({}))) }
}
