// The OpenAPI 3.1 description of the server, which its page at /docs shows.

import type { Config } from './config.ts'

type Json = Record<string, unknown>

const string = { type: 'string' }
const object = (properties: Json, required = Object.keys(properties)): Json => ({
  type: 'object',
  properties,
  required,
})
const json = (schema: Json): Json => ({ content: { 'application/json': { schema } } })
const schema = (name: string): Json => ({ $ref: `#/components/schemas/${name}` })
const body = (value: Json, required = true): Json => ({ requestBody: { required, ...json(value) } })
const ok = (description: string, value?: Json): Json => ({ description, ...(value && json(value)) })
const noContent = (description: string): Json => ({ 204: { description } })
/** The error responses, with their meaning. */
const errors = (meanings: Record<number, string>): Json =>
  Object.fromEntries(Object.entries(meanings).map(([status, text]) => [status, ok(text, schema('Error'))]))

const bearer = { security: [{ accessToken: [] }] }
const transport = { enum: ['cookie', 'body'], default: 'cookie', description: 'How the refresh token travels.' }
const rememberMe = {
  type: 'boolean',
  default: true,
  description: 'Whether the cookie stays when the browser is closed.',
}
const credentials = object({ email: { ...string, format: 'email' }, password: string, transport, rememberMe }, [
  'email',
  'password',
])
const later = { 429: 'Too many tries. Wait as Retry-After says.', 503: 'Try again shortly.' }
const badAccess = { 401: 'The access token is missing, expired or revoked.' }
/** The rejections of every request that may change something, and of every one with a body. */
const foreign = { 403: 'A page of another origin sent it.' }
const malformed = {
  400: 'Malformed.',
  413: 'The body is too large.',
  415: 'The body is not `application/json`.',
  ...foreign,
}

/** Describes the routes that the settings turn on. */
export function describeApi(
  config: Pick<Config, 'registration' | 'trial' | 'apiKey'> & { issuer: string },
  version: string,
) {
  const paths: Record<string, Json> = {
    ...(config.registration && {
      '/auth/register': {
        post: {
          summary: 'Make an account and sign in',
          description: 'For an address that has an account this is a sign-in.',
          ...body(credentials),
          responses: {
            200: ok('Signed in.', schema('Tokens')),
            ...errors({ ...malformed, 401: 'The credentials are not right.', ...later }),
          },
        },
      },
    }),
    '/auth/login': {
      post: {
        summary: 'Sign in',
        ...body(credentials),
        responses: {
          200: ok('Signed in.', schema('Tokens')),
          ...errors({ ...malformed, 401: 'The credentials are not right.', ...later }),
        },
      },
    },
    '/auth/refresh': {
      post: {
        summary: 'Trade the refresh token for new tokens',
        parameters: [
          {
            in: 'header',
            name: 'Idempotency-Key',
            schema: string,
            description: 'One for each refresh, kept on retries.',
          },
        ],
        ...body(object({ refreshToken: string }, []), false),
        responses: {
          200: ok('Refreshed.', schema('Tokens')),
          ...errors({
            ...malformed,
            401: '`invalid_grant`: the session is over.',
            409: 'Another refresh came first. Read the newest token and ask again.',
            503: later[503],
          }),
        },
      },
    },
    '/auth/logout': {
      post: {
        summary: 'End this session',
        ...body(object({ refreshToken: string }, []), false),
        responses: { ...noContent('Signed out.'), ...errors({ ...malformed, 503: later[503] }) },
      },
    },
    '/auth/sessions': {
      get: {
        summary: 'List the sessions of the person',
        ...bearer,
        responses: {
          200: ok('The sessions.', object({ sessions: { type: 'array', items: schema('Session') } })),
          ...errors(badAccess),
        },
      },
      delete: {
        summary: 'End all other sessions',
        ...bearer,
        responses: {
          200: ok('Ended.', object({ ended: { type: 'integer' } })),
          ...errors({ ...badAccess, ...foreign }),
        },
      },
    },
    '/auth/sessions/{id}': {
      patch: {
        summary: 'Name the device of one session',
        ...bearer,
        parameters: [{ in: 'path', name: 'id', required: true, schema: string }],
        ...body(object({ label: { type: ['string', 'null'], description: 'null removes it.' } })),
        responses: {
          200: ok('The session.', schema('Session')),
          ...errors({ ...malformed, ...badAccess, 404: 'No such session.' }),
        },
      },
      delete: {
        summary: 'End one session',
        ...bearer,
        parameters: [{ in: 'path', name: 'id', required: true, schema: string }],
        responses: { ...noContent('Ended.'), ...errors({ ...badAccess, ...foreign, 404: 'No such session.' }) },
      },
    },
    '/auth/me': {
      get: {
        summary: 'The person who is signed in',
        ...bearer,
        responses: {
          200: ok(
            'The person.',
            object(
              {
                subject: string,
                sessionId: string,
                email: string,
                claims: { type: 'object' },
                expiresAt: { type: 'integer' },
              },
              ['subject', 'sessionId', 'claims', 'expiresAt'],
            ),
          ),
          ...errors(badAccess),
        },
      },
    },
    '/auth/password': {
      post: {
        summary: 'Change the password and end the other sessions',
        description: 'May be repeated as it was where no response came.',
        ...bearer,
        ...body(object({ current: string, next: string })),
        responses: {
          ...noContent('Changed.'),
          ...errors({ ...malformed, 400: 'Malformed, or the current password is wrong.', ...badAccess, ...later }),
        },
      },
    },
    '/auth/events': {
      get: {
        summary: 'The events of your own sessions, as they happen',
        description: 'Server-sent events. The stream ends with its access token; connect again with Last-Event-ID.',
        ...bearer,
        responses: { 200: ok('text/event-stream.'), ...errors({ ...badAccess, ...later }) },
      },
    },
    '/auth/offers': {
      get: {
        summary: 'The ways in that the settings turn on',
        responses: {
          200: ok('The ways in.', object({ registration: { type: 'boolean' }, trial: { type: 'boolean' } })),
        },
      },
    },
    ...(config.trial && trialPaths()),
    '/.well-known/jwks.json': {
      get: { summary: 'The keys that check access tokens (RFC 7517)', responses: { 200: ok('The key set.') } },
    },
    ...(config.apiKey !== undefined && {
      '/admin/sessions': {
        post: {
          summary: 'Begin a session for a subject that your back end has authenticated',
          security: [{ apiKey: [] }],
          ...body(object({ subject: string, claims: { type: 'object' } }, ['subject'])),
          responses: {
            200: ok('Begun.', schema('Tokens')),
            ...errors({ ...malformed, 401: 'Not the DAYPASS_API_KEY.' }),
          },
        },
      },
    }),
    '/healthz': { get: { summary: 'The process is alive', responses: { 200: ok('Alive.') } } },
    '/readyz': {
      get: { summary: 'The database answers', responses: { 200: ok('Ready.'), ...errors({ 503: later[503] }) } },
    },
    '/metrics': { get: { summary: 'Metrics for Prometheus', responses: { 200: ok('Text format.') } } },
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Daypass', version, description: 'Keeps people signed in.', license: { name: 'MIT' } },
    servers: [{ url: config.issuer }],
    paths,
    components: {
      securitySchemes: {
        accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        apiKey: { type: 'http', scheme: 'bearer', description: 'The DAYPASS_API_KEY.' },
      },
      schemas: {
        Tokens: object(
          {
            accessToken: string,
            tokenType: { const: 'Bearer' },
            expiresIn: { type: 'integer', description: 'Seconds.' },
            refreshToken: { ...string, description: 'With the transport `body` alone.' },
            outcome: { ...string, description: 'Of /auth/try/refresh alone: `rotated`, or `replayed` for a retry.' },
            session: schema('Session'),
            user: { type: 'object', description: 'The account: `id` and `email`. At a sign-in alone.' },
          },
          ['accessToken', 'tokenType', 'expiresIn', 'session'],
        ),
        Session: object(
          {
            id: string,
            subject: string,
            clientId: { ...string, description: 'From /admin/sessions, and of throw-away sessions, alone.' },
            scope: { ...string, description: 'Separated by spaces (RFC 6749 §3.3).' },
            claims: { type: 'object' },
            amr: { type: 'array', items: string },
            device: object({ userAgent: string, ip: string, label: string }, []),
            createdAt: { type: 'integer', description: 'Epoch milliseconds, like all instants.' },
            rotatedAt: { type: 'integer' },
            authTime: { type: 'integer', description: 'When the password was checked.' },
            idleExpiresAt: { type: 'integer' },
            expiresAt: { type: 'integer' },
            persistent: { type: 'boolean' },
            current: { type: 'boolean' },
          },
          ['id', 'subject', 'device', 'createdAt', 'rotatedAt', 'authTime', 'idleExpiresAt', 'expiresAt', 'persistent'],
        ),
        Error: object({ error: string, code: { ...string, examples: ['ERR_RATE_LIMITED'] }, message: string }, [
          'code',
          'message',
        ]),
      },
    },
  }
}

/** The routes of throw-away sessions. */
function trialPaths(): Record<string, Json> {
  const ofTrial = {
    ...bearer,
    description: 'For throw-away sessions alone: any other gets 403.',
  }
  const refused = { ...badAccess, 403: 'Not a throw-away session, or a page of another origin sent it.' }
  return {
    '/auth/try': {
      post: {
        summary: 'Begin a throw-away session, without an account',
        description: 'Its access tokens live 10 seconds, and it ends after an hour, or 10 minutes without a refresh.',
        ...body(object({ transport }, []), false),
        responses: { 200: ok('Begun.', schema('Tokens')), ...errors({ ...malformed, ...later }) },
      },
    },
    '/auth/try/phone': {
      post: {
        summary: 'Begin a second throw-away session of the same person, in the body transport',
        ...ofTrial,
        ...body(object({ label: string })),
        responses: { 200: ok('Begun.', schema('Tokens')), ...errors({ ...malformed, ...refused, ...later }) },
      },
    },
    '/auth/try/refresh': {
      post: {
        summary: 'Refresh the session of /auth/try/phone, without a tolerance for races',
        ...body(object({ refreshToken: string })),
        responses: {
          200: ok('Refreshed.', schema('Tokens')),
          ...errors({ ...malformed, 401: 'The session is over.' }),
        },
      },
    },
    '/auth/try/lost-response': {
      post: {
        summary: 'Lose the response to the next refresh of this session',
        ...ofTrial,
        responses: { ...noContent('Armed.'), ...errors(refused) },
      },
    },
  }
}
