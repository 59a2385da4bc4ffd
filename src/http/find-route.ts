// Finds the routes of a path.

import { DaypassError } from '../errors.ts'
import { checkOptions, type OptionNames } from '../known-options.ts'
import { isObject, show } from '../option.ts'
import { checkNeeds } from './guard.ts'
import type { DaypassRoute, Route } from './route.ts'

/** The routes of one path, by method. */
export interface Address<C> {
  methods: Map<string, DaypassRoute<C>>
  /** The methods, as the header `Allow` lists them. */
  allow: string
}

/** Finds the routes of a path; undefined where there are none. Throws `ERR_OPTION_INVALID` for two routes of one method and path. */
export function createRouteTable<C>(routes: readonly DaypassRoute<C>[]): (path: string) => Address<C> | undefined {
  const exact = new Map<string, Address<C>>()
  const patterns = new Map<string, Address<C>>()
  for (const route of routes) {
    const isPattern = route.path.includes('/:')
    const [addresses, key] = isPattern ? [patterns, patternOf(route.path)] : [exact, route.path]
    const { methods } = addresses.get(key) ?? { methods: new Map() }
    if (methods.has(route.method)) {
      throw new DaypassError('ERR_OPTION_INVALID', `Two routes are ${route.method} ${route.path}.`)
    }
    methods.set(route.method, route)
    addresses.set(key, { methods, allow: [...methods.keys()].join(', ') })
  }
  const compiled = [...patterns].map(([pattern, address]) => [new RegExp(pattern), address] as const)
  return (path) => exact.get(path) ?? compiled.find(([pattern]) => pattern.test(path))?.[1]
}

/**
 * The address of a route where a framework has mounted the routes, such as `/api` of `app.use('/api', web.routes)`. A path
 * that begins with the mount is whole. Others are below the mount; a mount that ends with the base path has it already.
 *
 * Each route has one address. A second one would pass by a rate limiter that the app has put before the first. Express
 * matches a mount in any case, so the mount is compared in any case.
 */
export function addressOf(path: string, mount: string, basePath: string): string {
  const folded = mount.toLowerCase()
  if (path.toLowerCase().startsWith(`${folded}/`)) return path
  const hasBase = folded.endsWith(basePath.toLowerCase()) && path.startsWith(`${basePath}/`)
  return mount + (hasBase ? path.slice(basePath.length) : path)
}

/** The paths by which a route may be declared whose address is `address`; none where that is not below the mount. */
export function readDeclared(address: string, mount: string, basePath: string): string[] {
  if (mount === '') return [address]
  if (!address.startsWith(`${mount}/`)) return []
  const below = address.slice(mount.length)
  return [address, below, basePath + below].filter((path) => addressOf(path, mount, basePath) === address)
}

/** A part `:name` stands for 1 to 64 letters, digits, `-` and `_`. */
const patternOf = (path: string) => `^${path.replaceAll('.', '\\.').replaceAll(/\/:\w+(?=\/|$)/g, '/[\\w-]{1,64}')}$`

/** The parts of a path that stand for the names of a route's path. */
export function readParams(route: string, path: string): Record<string, string> {
  if (!route.includes('/:')) return {}
  const parts = path.split('/')
  const named = route.split('/').map((name, index) => [name, parts[index] ?? ''] as const)
  return Object.fromEntries(named.filter(([name]) => name[0] === ':').map(([name, part]) => [name.slice(1), part]))
}

type MembersOf<Access> = OptionNames<Extract<Route, { access: Access }>>

const every: MembersOf<'page'> = { method: true, path: true, access: true, run: true }

/** The members of a route, by its access. */
const membersOf: { [Access in Route['access']]: MembersOf<Access> } = {
  page: every,
  credentials: every,
  bearer: { ...every, scope: true, maxAge: true, allow: true },
  custom: { ...every, check: true },
}

const needsToken = "It needs an access token: `access: 'bearer'`."
const demandAdvice = { scope: needsToken, maxAge: needsToken, allow: needsToken }

/** Checks the routes that an app declares. A misspelled route would be open, or would never be found. */
export function checkRoutes<C>(routes: readonly Route<C, true>[]): void {
  for (const [index, route] of routes.entries()) {
    // Without types, a route may be anything.
    const { method, path, access, run }: Route<C> = Object(route)
    const check: unknown = Reflect.get(Object(route), 'check')
    const isRoute =
      ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) &&
      /^(\/(:\w+|[\w.~-]+))+$/.test(path) &&
      ['page', 'bearer', 'credentials', 'custom'].includes(access) &&
      typeof run === 'function' &&
      (access !== 'custom' || typeof check === 'function')
    if (isRoute) {
      // A demand that is misspelled, or that this access does not make, would leave the route open.
      checkOptions(route, membersOf[access], `routes[${index}].`, demandAdvice)
      if (route.access === 'bearer') checkNeeds(route)
      continue
    }
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      `\`routes[${index}]\` is not a route: ${isObject(route) ? `${show(method)} ${show(path)} for ${show(access)}` : show(route)}. See \`Route\` for its members.`,
    )
  }
}
