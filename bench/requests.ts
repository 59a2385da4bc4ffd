// The requests that the load can send, and how a chain reads from a response what it sends next.

import type { LoadJob } from './load.ts'

/**
 * What one request of a chain is. `get` sends an access token, the same one each time. `oauth` is the refresh_token grant of
 * a public client, as a form. `cookie` is a GET with cookies, which a response may replace.
 */
export type RequestKind = 'refresh' | 'refresh with Idempotency-Key' | 'get' | 'oauth' | 'cookie'

let serial = 0

/** The bytes of a request. `token` is what the chain sends: a token, or all of its cookies. */
export function createRequest({ port, path, request }: LoadJob, token: string): string {
  const head = `${path} HTTP/1.1\r\nhost: localhost:${port}\r\nuser-agent: bench\r\n`
  switch (request) {
    case 'get':
      return `GET ${head}authorization: Bearer ${token}\r\n\r\n`
    case 'cookie':
      // Secure cookies need HTTPS, which ends at a proxy in front of Node.
      return `GET ${head}x-forwarded-proto: https\r\ncookie: ${token}\r\n\r\n`
    case 'oauth': {
      const form = `grant_type=refresh_token&client_id=bench&refresh_token=${token}`
      return `POST ${head}content-type: application/x-www-form-urlencoded\r\ncontent-length: ${form.length}\r\n\r\n${form}`
    }
    default: {
      const body = `{"refreshToken":"${token}"}`
      const key =
        request === 'refresh with Idempotency-Key'
          ? `idempotency-key: "bench-${process.pid}-${String(++serial).padStart(16, '0')}"\r\n`
          : ''
      return `POST ${head}content-type: application/json\r\n${key}content-length: ${body.length}\r\n\r\n${body}`
    }
  }
}

/** Whether all of a response is there. `headEnd` is where its headers end. */
export function isComplete(text: string, headEnd: number): boolean {
  const lengthAt = text.lastIndexOf('ength: ', headEnd)
  // Without a Content-Length the body comes in chunks.
  if (lengthAt === -1) return text.endsWith('\r\n0\r\n\r\n')
  return text.length >= headEnd + 4 + Number(text.slice(lengthAt + 7, text.indexOf('\r', lengthAt)))
}

/** What the chain sends next, or undefined if the response does not say that the caller is signed in. */
export function readNext({ request }: LoadJob, text: string, headEnd: number, token: string): string | undefined {
  switch (request) {
    case 'get':
      return token
    case 'cookie':
      // The servers name the subject, and not every one answers 401 to a stranger.
      return text.includes('subject-', headEnd) ? replaceCookies(token, text.slice(0, headEnd)) : undefined
    case 'oauth':
      return readMember(text, headEnd, 'refresh_token')
    default:
      // A route that does no refresh answers without a token.
      return readMember(text, headEnd, 'refreshToken') ?? token
  }
}

function readMember(text: string, from: number, name: string): string | undefined {
  const start = `"${name}":"`
  const at = text.indexOf(start, from)
  return at === -1 ? undefined : text.slice(at + start.length, text.indexOf('"', at + start.length))
}

/** A cookie header with the cookies that a response sets instead of the old ones. */
function replaceCookies(cookies: string, head: string): string {
  const set = [...head.matchAll(/\r\nset-cookie: ([^=]+)=([^;\r]*)/gi)]
  if (set.length === 0) return cookies
  const all = new Map(cookies.split('; ').map((pair) => pair.split(/=(.*)/) as [string, string]))
  for (const [, name, value] of set) all.set(name!, value!)
  return [...all].map(([name, value]) => `${name}=${value}`).join('; ')
}
