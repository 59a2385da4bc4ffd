// daypass/nest: Daypass in a NestJS app, on its Express and its Fastify platform.

import {
  type CanActivate,
  createParamDecorator,
  type DynamicModule,
  type ExecutionContext,
  type FactoryProvider,
  HttpException,
  Inject,
  Injectable,
  type MiddlewareConsumer,
  Module,
  type ModuleMetadata,
  type NestModule,
  RequestMethod,
  SetMetadata,
  UseGuards,
  VERSION_NEUTRAL,
} from '@nestjs/common'
import { ApplicationConfig, Reflector } from '@nestjs/core'
import type { Daypass, FoundSession } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { type GuardOptions, readGuardArguments, type TokenVerifier } from '../http/guard.ts'
import type { ServerTypes, UserOfBoth } from '../http/options.ts'
import type { HttpResponse } from '../http/response.ts'
import type { SignIn, SignInOptions, SignOutOptions } from '../http/sign-in-types.ts'
import { wrongOption } from '../option.ts'
import { read as readExpress, readClient as readExpressClient } from './express-exchange.ts'
import { read as readFastify, readClient as readFastifyClient } from './fastify-exchange.ts'
import {
  createNodeGuard,
  createNodeHttp,
  type NodeExchange,
  type NodeGuard,
  type NodeMessage,
  type NodeOptions,
  type NodeReading,
} from './node-http.ts'

export type { FoundSession } from '../core/api.ts'
export type { GuardOptions, TokenVerifier } from '../http/guard.ts'
export type { HttpOptions, ServerTypes } from '../http/options.ts'
export type { RouteRequest } from '../http/request.ts'
export type { RouteResponse } from '../http/response.ts'
export type { BearerCall, CredentialsCall, Route, RouteCall } from '../http/route.ts'
export type { SignIn, SignInOptions, SignInRequest, SignOutOptions, Transport } from '../http/sign-in-types.ts'
export type { AccessToken } from '../verify/index.ts'
export type { NodeOptions } from './node-http.ts'

// Nest leaves the types of requests and responses to its platforms, and a module takes an adapter of any claims.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Any = any

/** A decorator of a controller, or of one of its methods. */
export type GuardDecorator = ClassDecorator & MethodDecorator

/** A guard as a decorator, called or not: `@requireAuth()`, `@requireAuth({ scope: 'reports:read' })`. */
export interface RequireAuth<C = Claims> {
  (options?: GuardOptions<C>): GuardDecorator
  (...target: Parameters<ClassDecorator> | Parameters<MethodDecorator>): void
}

/**
 * The adapter that {@link createNestAuth} makes. Where {@link DaypassModule} is imported, it is a provider of every module:
 * `constructor(private readonly web: NestAuth<MyClaims>) {}`.
 */
export abstract class NestAuth<C = Claims, Credentials = unknown, User = unknown, Finds extends boolean = false> {
  /** The routes, as a middleware of Nest. {@link DaypassModule} applies it. `mount` is the global prefix. */
  abstract routes(request: Any, response: Any, next: () => void, mount?: string): Promise<void>
  /**
   * A decorator that lets in requests with a good access token, and answers all others with 401 or 403. It needs no
   * module. {@link RequireAuth} is the same for the adapter that a module provides.
   */
  abstract requireAuth: RequireAuth<C>
  /**
   * Reads who is signed in by the cookie of a request, for a page that is rendered on a server. Nothing is rotated or
   * ended, and no cookie is set. Null for nobody.
   */
  abstract findSession(request: Any): Promise<FoundSession<C, User> | null>
  /** Begins a session for a login of your own, and sends the response: inject it with `@Res()`. */
  abstract signIn(request: Any, response: Any, signIn: SignIn<C, User, Finds>, options?: SignInOptions): Promise<void>
  /** Ends the session that the request carries, and sends the response: inject it with `@Res()`. */
  abstract signOut(request: Any, response: Any, options?: SignOutOptions): Promise<void>
  /** For types alone; nothing is there when it runs. */
  readonly '~types'?: ServerTypes<C, Credentials, User>
}

/** The guards of the adapters, for {@link DaypassGuard}. */
const guards = new WeakMap<NestAuth<Any>, NodeGuard<Any>>()

/**
 * Serves a Daypass in a NestJS app: give it to {@link DaypassModule}.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 * @example
 * ```ts
 * import { Module } from '@nestjs/common'
 * import { createDaypass } from 'daypass'
 * import { createNestAuth, DaypassModule } from 'daypass/nest'
 * import { createSqliteStore } from 'daypass/sqlite'
 *
 * const store = createSqliteStore('./daypass.db')
 * const auth = createDaypass({ secret: process.env.DAYPASS_SECRET!, issuer: 'https://example.com', store })
 *
 * @Module({ imports: [DaypassModule.forRoot(createNestAuth(auth))] })
 * export class AppModule {}
 * ```
 */
export function createNestAuth<
  C = Claims,
  Credentials = Record<string, unknown>,
  Found = unknown,
  User extends Found = Found,
  Finds extends boolean = false,
>(
  auth: Daypass<C, Finds, Found>,
  options: NodeOptions<C, Credentials, User, Finds> = {},
): NestAuth<C, Credentials, UserOfBoth<Found, User>, Finds> {
  const web = createNodeHttp(auth, options)
  const adapter: NestAuth<C, Credentials, UserOfBoth<Found, User>, Finds> = {
    async routes(request, response, next, mount) {
      // Also on Fastify, Nest's middleware gets the request and the response of node:http.
      if (!(await web.routes(readExpress(request, response), mount))) next()
    },
    requireAuth: createDecorator((needs) => ({ canActivate: (context) => check(web.requireAuth, needs, context) })),
    findSession: (request) => web.findSession(readReading(request)),
    signIn: (request, response, signIn, given) => web.signIn(read(request, response), signIn, given),
    signOut: (request, response, given) => web.signOut(read(request, response), given),
  }
  guards.set(adapter, web.requireAuth)
  return adapter
}

/**
 * The guard alone, for an API that only checks tokens: a decorator that needs no module.
 *
 * @example
 * ```ts
 * import { Controller, Get } from '@nestjs/common'
 * import { createRequireAuth } from 'daypass/nest'
 * import { createVerifier } from 'daypass/verify'
 *
 * const RequireAuth = createRequireAuth(createVerifier({ issuer: 'https://id.example.com' }))
 *
 * @Controller('orders')
 * @RequireAuth({ scope: 'orders:read' })
 * export class Orders {
 *   @Get()
 *   list() {
 *     return []
 *   }
 * }
 * ```
 */
export function createRequireAuth<C>(
  verifier: TokenVerifier<C>,
  options: Pick<NodeOptions, 'onError'> = {},
): RequireAuth<C> {
  const guard = createNodeGuard(verifier, options)
  return createDecorator((needs) => ({ canActivate: (context) => check(guard, needs, context) }))
}

/**
 * Serves the routes, below the app's global prefix where there is one, and provides {@link NestAuth} to every module. The
 * routes read their bodies themselves, and no guard, pipe or interceptor of the app's runs for them.
 */
export class DaypassModule implements NestModule {
  readonly #web: NestAuth<Any, Any, Any, Any>
  readonly #config: ApplicationConfig

  /** Called by Nest. */
  constructor(web: NestAuth<Any, Any, Any, Any>, config: ApplicationConfig) {
    this.#web = web
    this.#config = config
  }

  /** @param web The adapter that {@link createNestAuth} makes. */
  static forRoot(web: NestAuth<Any, Any, Any, Any>): DynamicModule {
    return DaypassModule.forRootAsync({ useFactory: () => web })
  }

  /** For an adapter that needs providers of the app's: `findSubject` may ask a service. */
  static forRootAsync(options: DaypassModuleOptions): DynamicModule {
    const { imports = [], inject = [], useFactory } = options
    const provider: FactoryProvider = {
      provide: NestAuth,
      inject,
      async useFactory(...given) {
        const web = await useFactory(...given)
        if (!guards.has(web)) throw wrongOption('web', web, 'Give the result of createNestAuth().')
        return web
      },
    }
    return { module: DaypassModule, global: true, imports, providers: [provider], exports: [NestAuth] }
  }

  /** Called by Nest. */
  configure(consumer: MiddlewareConsumer): void {
    const mount = `/${this.#config.getGlobalPrefix()}`.replaceAll(/\/+/g, '/').replace(/\/$/, '')
    const routes = (request: Any, response: Any, next: () => void) => this.#web.routes(request, response, next, mount)
    consumer.apply(routes).forRoutes({ path: '{*path}', method: RequestMethod.ALL, version: VERSION_NEUTRAL })
  }
}

/** How {@link DaypassModule} gets its adapter. */
export interface DaypassModuleOptions extends Pick<ModuleMetadata, 'imports'>, Pick<FactoryProvider, 'inject'> {
  /** Makes the adapter, by `createNestAuth`, of the providers that `inject` names. */
  useFactory(...providers: Any[]): NestAuth<Any, Any, Any, Any> | Promise<NestAuth<Any, Any, Any, Any>>
}

/**
 * The guard of the adapter that {@link DaypassModule} provides, for all routes of the app:
 * `{ provide: APP_GUARD, useClass: DaypassGuard }`. Routes with {@link Public} stay open.
 */
export class DaypassGuard implements CanActivate {
  readonly #web: NestAuth<Any, Any, Any, Any>
  /** What {@link RequireAuth} asks for. */
  protected readonly needs: GuardOptions<Any> = {}

  /** Called by Nest. */
  constructor(web: NestAuth<Any, Any, Any, Any>) {
    this.#web = web
  }

  /** Called by Nest. */
  canActivate(context: ExecutionContext): Promise<boolean> {
    const guard = guards.get(this.#web)
    if (guard === undefined) throw wrongOption('NestAuth', this.#web, 'Provide the result of createNestAuth().')
    return check(guard, this.needs, context)
  }
}

/**
 * Lets in requests with a good access token, on a controller or a method, called or not. Those of a controller and of its
 * method must both be met. The adapter is that of {@link DaypassModule}.
 *
 * @example
 * ```ts
 * import { Controller, Get } from '@nestjs/common'
 * import { type AccessToken, Auth, RequireAuth } from 'daypass/nest'
 *
 * @Controller('me')
 * export class Me {
 *   @Get()
 *   @RequireAuth()
 *   read(@Auth() auth: AccessToken<{ role: string }>) {
 *     return { subject: auth.subject, role: auth.claims.role }
 *   }
 * }
 * ```
 */
export const RequireAuth: RequireAuth<Any> = createDecorator(
  (needs) =>
    class extends DaypassGuard {
      protected override readonly needs = needs
    },
)

/** Leaves a controller or a method open where its app, or its controller, has a guard of Daypass's. */
export const Public = (): GuardDecorator => SetMetadata(openKey, true)

/** The verified access token of a request, as a parameter; undefined where no guard has checked it. */
export const Auth: () => ParameterDecorator = createParamDecorator(
  (_given: unknown, context: ExecutionContext) => context.switchToHttp().getRequest().auth,
)

/** Whether a controller or a method is open. That of the method counts before that of the controller. */
const openKey = 'daypass:open'

// What the decorators @Module, @Injectable and @Inject do, which JavaScript does not have.
Module({})(DaypassModule)
Inject(NestAuth)(DaypassModule, undefined, 0)
Inject(ApplicationConfig)(DaypassModule, undefined, 1)
Injectable()(DaypassGuard)
Inject(NestAuth)(DaypassGuard, undefined, 0)

type Guard = CanActivate | (new (web: NestAuth) => CanActivate)

function createDecorator<C>(createGuard: (needs: GuardOptions<C>) => Guard): RequireAuth<C> {
  const create = (needs: GuardOptions<C>) => {
    const decorators = [UseGuards(createGuard(needs)), SetMetadata(openKey, false)]
    return (...target: Parameters<MethodDecorator>) => {
      for (const decorate of decorators) decorate(...target)
    }
  }
  function requireAuth(...given: [GuardOptions<C>?] | Parameters<MethodDecorator>) {
    // Without being called, it gets a class, or an object with the name of a method.
    if (given.length > 1 || typeof given[0] === 'function') return create({})(...(given as Parameters<MethodDecorator>))
    return create(readGuardArguments<CallableFunction, C>(given[0] as GuardOptions<C>).needs)
  }
  return requireAuth as RequireAuth<C>
}

const reflector = new Reflector()

/** Throws the rejection as an HttpException, which the app's exception filters see. */
async function check<C>(guard: NodeGuard<C>, needs: GuardOptions<C>, context: ExecutionContext): Promise<boolean> {
  if (reflector.getAllAndOverride(openKey, [context.getHandler(), context.getClass()]) === true) return true
  if (context.getType() !== 'http') {
    throw new DaypassError('ERR_OPTION_INVALID', 'The guard is for HTTP. Check others with `auth.verify(accessToken)`.')
  }
  const http = context.switchToHttp()
  const request = http.getRequest<Any>()
  const response = http.getResponse<Any>()
  let rejection: HttpResponse | undefined
  const write = (given: HttpResponse) => {
    rejection = given
  }
  const token = await guard({ ...read(request, response), write }, needs)
  if (token !== null) {
    request.auth = token
    return true
  }
  // Without a rejection, the app has sent a response beside the guard.
  if (rejection === undefined) return false
  const { status, headers, body = '{}' } = rejection
  for (const [name, value] of Object.entries(headers)) setHeader(response, name, value)
  throw new HttpException(JSON.parse(body), status)
}

const isOfFastify = (request: Any): boolean => 'raw' in request

const read = (request: Any, response: Any): NodeExchange =>
  isOfFastify(request) ? readFastify(request, response) : readExpress(request, response)

const readReading = (request: Any): NodeReading =>
  isOfFastify(request)
    ? { req: request.raw as NodeMessage, client: () => readFastifyClient(request) }
    : { req: request as NodeMessage, client: () => readExpressClient(request) }

/** Sets a header of a response of node:http and Express, or of a reply of Fastify. Vary is added to the app's. */
function setHeader(response: Any, name: string, value: string | string[]): void {
  const before = name === 'vary' ? response.getHeader(name) : undefined
  const all = before === undefined ? value : [before, value].flat().join(', ')
  if (typeof response.header === 'function') response.header(name, all)
  else response.setHeader(name, all)
}
