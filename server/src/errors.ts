// Errors of the server's own routes as HTTP responses, in the format of Daypass's routes.

import { DaypassError, isDaypassError } from 'daypass'
import type { FastifyError, FastifyReply } from 'fastify'

/** Sends an error without its cause, which is for the operator only. */
export function sendError(reply: FastifyReply, thrown: unknown): FastifyReply {
  const { status, code, error, message, retryAfter } = toPublic(toDaypassError(thrown))
  if (retryAfter !== undefined) reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfter))))
  // The rest of the body is not read.
  if (status === 413) reply.header('connection', 'close')
  return reply.code(status).header('cache-control', 'no-store').send({ error, code, message })
}

/** Fastify's own errors are about requests that it could not read. Any other unknown error is a fault of the server. */
export function toDaypassError(thrown: unknown): DaypassError {
  if (isDaypassError(thrown)) return thrown
  const { code = '', statusCode } = (thrown ?? {}) as Partial<FastifyError>
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new DaypassError('ERR_MEDIA_TYPE')
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new DaypassError('ERR_BODY_TOO_LARGE')
  // Without the path, which may contain a token.
  if (code === 'FST_ERR_BAD_URL') return new DaypassError('ERR_REQUEST_INVALID', 'The path is not valid.')
  // Without the parser's message: it quotes the body, which contains passwords.
  if (statusCode === 400) return new DaypassError('ERR_REQUEST_INVALID', 'The body is not JSON.')
  return new DaypassError('ERR_INTERNAL', undefined, { cause: thrown })
}

function toPublic(error: DaypassError): DaypassError {
  if (error.code.startsWith('ERR_STORE_')) {
    return new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { retryAfter: error.retryAfter ?? 1 })
  }
  return error.status === 500 ? new DaypassError('ERR_INTERNAL') : error
}
