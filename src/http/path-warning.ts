// Warns of requests that have a prefix before a route's path: something in front does not remove it.

import { show } from '../option.ts'
import type { Warn } from '../warn.ts'
import type { HttpRequest } from './request.ts'
import type { DaypassRoute } from './route.ts'

/** The addresses of all routes of this process. One app may serve several Daypasses, each below a base path of its own. */
const served = new Set<string>()

/** Makes the function that looks at each request that no route was found for. */
export function createPathWarning<C>(
  routes: readonly DaypassRoute<C>[],
  basePath: string,
  warn: Warn,
): (request: HttpRequest) => void {
  // Without a base path, a path of the app's own may well end like a route's.
  const paths = routes
    .filter(({ method, path }) => method === 'POST' && basePath !== '' && path.startsWith(`${basePath}/`))
    .map(({ path }) => path)
  for (const path of paths) served.add(path)
  return ({ method, path }) => {
    if (method !== 'POST' || served.has(path)) return
    const declared = paths.find((one) => path.endsWith(one))
    if (declared === undefined) return
    const prefix = path.slice(0, -declared.length)
    warn(
      'DAYPASS_PATH_UNKNOWN',
      `A request for ${show(path)} found no route: the routes are below ${show(basePath)}. If that address is yours, set \`basePath: ${show(prefix + basePath)}\`.`,
      prefix,
    )
  }
}
