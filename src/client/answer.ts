// What did the server answer, and what does that mean for the session?

import type { ClientErrorDetails } from './errors.ts'

/** A session as the server shows it to its owner. Instants are milliseconds since the epoch, by the server's clock. */
export interface ClientSession {
  id: string
  subject: string
  scope?: string
  createdAt: number
  expiresAt: number
  idleExpiresAt: number
  [more: string]: unknown
}

/** What a sign-in or a refresh brought, without the refresh token. */
export interface Access {
  accessToken: string
  /** Seconds. */
  expiresIn: number
  session?: ClientSession
}

/** An answer, or the want of one: `status` 0. */
export interface Answer {
  /** What may be told of it to anyone: no token is in it. */
  told: ClientErrorDetails
  /** Where tokens came, all of them. */
  access?: Access
  /** Body transport only. */
  refreshToken?: string
}

/** Longest Retry-After obeyed, in seconds: a proxy's "tomorrow" must not keep anyone out. */
const longestRetryAfter = 300

/** Reads an answer. */
export async function read(response: Response, isBody: boolean): Promise<Answer> {
  const { status, headers } = response
  // Half a body, a proxy's HTML, nothing at all: no JSON, so no verdict.
  const json = await response.json().catch(() => {})
  const { accessToken, refreshToken, ...body } = Object(json)
  const { expiresIn, session } = body
  const reason = `${body.code ?? body.error ?? `HTTP ${status}`}`
  const told = { status, reason, body, retryAfter: secondsOf(headers.get('retry-after')!, headers.get('date')!) }
  const hasCome = accessToken && expiresIn > 0 && (!isBody || refreshToken)
  return { told, access: hasCome && { accessToken, expiresIn, session }, refreshToken }
}

/** A failure as an answer. Of the error only its code or name is kept: its message may quote what was sent. */
export function failed(error: any): Answer {
  return { told: { status: 0, reason: `${error?.cause?.code ?? error?.name}` } }
}

/** Retry-After as seconds: a number, or a date by the server's own clock where it told the time. */
function secondsOf(value: string, date: string): number | undefined {
  const seconds = /^\d/.test(value) ? +value : (Date.parse(value) - (Date.parse(date) || Date.now())) / 1000
  return seconds >= 0 ? seconds : undefined
}

/** Whether the session is over. This alone ends it: a bare 401 may come from any proxy on the way. */
export function isOver({ told: { status, body } }: Answer): boolean {
  return status === 401 && body?.error === 'invalid_grant'
}

/** Milliseconds until the next try: what the server says, else longer each time, and never two clients in step. */
export function delayAfter(
  { told: { retryAfter } }: Answer,
  tries: number,
  random: (size: number) => Uint8Array,
): number {
  const seconds = retryAfter ?? Math.min(0.1 * 3 ** tries, 3) * (0.5 + random(1)[0]! / 512)
  return Math.min(seconds, longestRetryAfter) * 1000
}
