// A request at a server: the server's real routes or the app's own route, and the checks of the response.

import type { Life, Server, TextRequest, TextResponse } from './life.ts'
import { goodTokens, noBadLuck, noResurrection } from './properties.ts'
import { runIn } from './realm.ts'
import { site } from './site.ts'
import { second } from './time.ts'
import { findToken, sessionIdOf } from './token.ts'

/** The JSON of a response of Daypass. */
interface Body {
  code?: string
  session: { id: string; expiresAt: number }
}

/** Never returns if the server dies meanwhile. */
export async function serve(life: Life, server: Server, request: TextRequest): Promise<TextResponse> {
  const { method, headers, body, path, gone } = request
  const webRequest = new Request(site + path, {
    method,
    headers,
    body: method === 'POST' ? body : null,
    signal: gone.signal,
  })
  const askedAt = life.loop.now()
  const webResponse = await runIn(server.realm, () =>
    path === '/me' ? serveApp(life, server, webRequest) : server.web.routes(webRequest),
  )
  if (server.isDead) return new Promise(() => {})
  if (webResponse === null) throw new Error(`Daypass has no route ${path}`)
  const response = {
    status: webResponse.status,
    headers: Object.fromEntries(webResponse.headers),
    body: await webResponse.text(),
  }
  checkResponse(life, server, request, response, askedAt)
  return response
}

function checkResponse(
  { checker, database, tell }: Life,
  server: Server,
  { path, headers, body, from }: TextRequest,
  response: TextResponse,
  askedAt: number,
): void {
  const isOk = response.status >= 200 && response.status < 300
  const json: Body = JSON.parse(response.body.startsWith('{') ? response.body : '{}')
  tell(`  server ${server.host.number + 1} answers ${response.status}${json.code ? ` ${json.code}` : ''}`)
  if (json.code === 'ERR_INTERNAL') checker.fail(noBadLuck, 'a server fails')
  const token = findToken(`${headers.cookie} ${body}`)
  const session = token && sessionIdOf(token)
  if (path === '/auth/refresh') {
    if (isOk) checker.checkGrant(json, askedAt)
    if (session && from !== 'thief') {
      if (response.status !== 503) checker.noteOwnerResponse(session, json.code === 'ERR_REFRESH_SUPERSEDED')
      // A token that has outlived its session may have outlived its secret too. So may a thief's old copy.
      if (json.code === 'ERR_REFRESH_TOKEN_INVALID' && checker.isLive(database.rows.get(session))) {
        checker.fail(noBadLuck, 'a token of our own is called invalid')
      }
    }
  }
  if (path === '/auth/logout' && isOk && session) {
    checker.count('sign-outs')
    // A sign-out that is sent again later names its session: it does not end the session that the cookie holds by then.
    const named = body.startsWith('{') ? JSON.parse(body).session : undefined
    if (named === undefined || named === session) checker.noteEnd(session)
  }
  if (path === '/auth/sessions' && isOk) checker.noteSignOuts()
}

/** The app's own route, which needs an access token. */
async function serveApp(life: Life, { web }: Server, request: Request): Promise<Response> {
  const { checker, database, loop } = life
  const token = await web.requireAuth()(request)
  checker.count('calls of the app')
  if (token instanceof Response) {
    await checkRefusal(life, request, token)
    return token
  }
  const endedAt = checker.findSession(token.sessionId)?.endedAt ?? Number.POSITIVE_INFINITY
  if (loop.now() > endedAt + 2 * second && database.lastAway < endedAt - second) {
    checker.fail(noResurrection, 'an access token is accepted two seconds after its session was ended')
  }
  return Response.json({ subject: token.subject })
}

/** Checks that a refused access token was refused for a reason. */
async function checkRefusal({ checker, database, loop }: Life, request: Request, refusal: Response): Promise<void> {
  const { code } = await refusal.clone().json()
  const payload = request.headers.get('authorization')?.split('.')[1]
  const { sid, exp } = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString() || '{}')
  const row = database.rows.get(sid)
  // A token that has expired may have outlived its key.
  if (code === 'ERR_ACCESS_TOKEN_INVALID' && !(exp * 1000 < loop.now()))
    checker.fail(goodTokens, 'an access token of our own is called invalid')
  if (code === 'ERR_ACCESS_TOKEN_REVOKED' && row && row.revokedAt === null) {
    checker.fail(goodTokens, 'an access token of a session that goes on is called revoked')
  }
}
