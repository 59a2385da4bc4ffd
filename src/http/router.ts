// Runs routes, and keeps the rules that hold for all of them: origins, methods, `no-store`, CORS and errors.

import type { Daypass } from '../core/api.ts'
import { DaypassError } from '../errors.ts'
import { createRouteTable, readDeclared, readParams } from './find-route.ts'
import { checkAccess } from './guard.ts'
import type { Origins } from './origins.ts'
import { type HttpRequest, readJsonObject } from './request.ts'
import type { Responder } from './responder.ts'
import type { HttpResponse, RouteResponse } from './response.ts'
import type { DaypassRoute } from './route.ts'
import type { BeginSession } from './sign-in.ts'
import type { TokenTransport } from './token-transport.ts'

/** The parts that routes run with. */
export interface RouterParts<C> {
  auth: Daypass<C, true>
  origins: Origins
  tokens: TokenTransport
  signIn: BeginSession<C>
  responder: Responder
  bodyLimit: number
  basePath: string
  /** Called with a request that is for none of the routes. */
  onUnknown(request: HttpRequest): void
}

/** The routes of one Daypass. Nothing here throws: errors are responses. */
export interface Router<C> {
  /**
   * Responds to a request for one of the routes; null for any other path.
   *
   * @param mount The path under which a framework has mounted the routes.
   */
  handle(request: HttpRequest, mount?: string): Promise<HttpResponse | null>
  /** Runs one route, whatever the path and the method of the request. */
  run(request: HttpRequest, route: DaypassRoute<C>): Promise<HttpResponse>
}

/** Throws `ERR_OPTION_INVALID` where two routes have one method and path. */
export function createRouter<C>(routes: readonly DaypassRoute<C>[], parts: RouterParts<C>): Router<C> {
  const { auth, origins, tokens, signIn, responder, bodyLimit, basePath, onUnknown } = parts
  const findAddress = createRouteTable(routes)

  /** Checks who asks, and runs the route. */
  async function admit(request: HttpRequest, route: DaypassRoute<C>, path: string): Promise<RouteResponse> {
    const readBody = () => readJsonObject(request, bodyLimit)
    const call = { request, params: readParams(route.path, path), readBody }
    if (route.access === 'cookie') {
      const cookies = tokens.readCookies(request)
      origins.check(request, (cookies.token ?? cookies.old) !== undefined)
      return route.run({ ...call, ...(await tokens.read(request, cookies)) })
    }
    if (route.method !== 'GET') origins.check(request, false)
    switch (route.access) {
      case 'page':
        return route.run(call)
      case 'custom':
        await route.check(request)
        return route.run(call)
      case 'bearer':
        return route.run({ ...call, auth: await checkAccess(auth, request, route) })
      case 'credentials': {
        const { transport: named, ...credentials } = await readBody()
        const transport = tokens.choose(named)
        if (transport === 'cookie') origins.check(request, true)
        return route.run({ ...call, credentials, signIn: (person) => signIn(request, person, transport) })
      }
    }
  }

  /** Runs one route, whatever the path and the method of the request. `path` is the one that fits the declaration. */
  async function run(request: HttpRequest, route: DaypassRoute<C>, path = request.path): Promise<HttpResponse> {
    try {
      return responder.respond(request, await admit(request, route, path), { cacheControl: route.cacheControl })
    } catch (error) {
      return responder.fail(request, error, route.access === 'bearer' ? { needs: route } : {})
    }
  }

  return {
    async handle(request, mount = '') {
      for (const path of readDeclared(request.path, mount, basePath)) {
        const address = findAddress(path)
        if (address === undefined) continue
        const { methods, allow } = address
        if (origins.isPreflight(request)) return responder.respond(request, {}, { allow })
        const route = methods.get(request.method === 'HEAD' ? 'GET' : request.method)
        if (route !== undefined) return run(request, route, path)
        return responder.fail(request, new DaypassError('ERR_METHOD_NOT_ALLOWED'), { allow })
      }
      onUnknown(request)
      return null
    },
    run,
  }
}
