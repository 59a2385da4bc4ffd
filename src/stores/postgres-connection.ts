// Runs one PostgreSQL statement: time limit, retry after a conflict, error codes.

import { DaypassError, type ErrorCode } from '../errors.ts'
import { createSend, type PgPool, type PostgresJs, sqlState, type Text } from './postgres-driver.ts'
import { runStatement } from './run-statement.ts'
import { createErrorTranslator, fieldsOf } from './store-error.ts'

export type { PgPool, PostgresJs } from './postgres-driver.ts'

/**
 * Runs one statement that selects values of type `T`. Its parameters are texts (`$1::text::int8`). Its result is one
 * column of JSON text.
 *
 * @param until When the caller stops waiting, in milliseconds since the epoch. Default: a whole time-out from now.
 * @throws DaypassError `ERR_STORE_…`; {@link refusalOf} returns the server's code.
 */
export type Query = <T>(text: string, values?: (string | null)[], until?: number) => Promise<T[]>

/**
 * Makes a {@link Query}. The deadline is kept here and not by `SET statement_timeout`, which PgBouncer in transaction
 * mode would hand to others.
 *
 * @param timeout Milliseconds.
 */
export function createQuery(client: PgPool | PostgresJs, timeout = 5000, clock: () => number = Date.now): Query {
  const send = createSend(client)

  const isConflict = (error: unknown) => conflicts.has(sqlState(error))
  return async <T>(text: string, values: (string | null)[] = [], until = clock() + timeout) => {
    const texts = await runStatement(() => send(text, values), until, clock, isConflict).catch((error) => {
      throw asPostgresError(error)
    })
    return texts.map((json) => parse<T>(json))
  }
}

/**
 * Checks that the client does not change texts. Its other types do not matter, because all values are sent as text.
 *
 * @throws DaypassError `ERR_OPTION_INVALID`.
 */
export async function checkTexts(query: Query): Promise<void> {
  const text = ' Ünïcode_and "quotes" '
  const [answer] = await query<[string, number]>('SELECT json_build_array($1::text, length($1::text))::text', [text])
  if (answer?.[0] !== text || answer[1] !== text.length) throw wrongTexts()
}

/** Every statement builds its own JSON, so the parsed value is a `T`. */
function parse<T>(json: Text): T {
  try {
    return JSON.parse(String(json))
  } catch {
    throw wrongTexts()
  }
}

const wrongTexts = () =>
  new DaypassError(
    'ERR_OPTION_INVALID',
    'The PostgreSQL client changes texts. Take out what does so: a parser or `types` entry for text (25), ' +
      '`transform.row`, or a `client_encoding` other than UTF8.',
  )

// https://www.postgresql.org/docs/current/errcodes-appendix.html
/** serialization_failure, deadlock_detected: nothing was changed, and the same statement may be sent again. */
const conflicts = new Set(['40001', '40P01'])

const errorCodes: Record<string, ErrorCode> = {
  25006: 'ERR_STORE_READ_ONLY',
  53100: 'ERR_STORE_FULL',
}

/** The server's error code (SQLSTATE), or undefined. */
export const refusalOf = (error: unknown) => /^[0-9A-Z]{5}(?=: )/.exec(String(fieldsOf(error).cause))?.[0] ?? ''

/** Translates the errors of PostgreSQL's drivers. */
export const asPostgresError = createErrorTranslator((error) => {
  const state = sqlState(error)
  const { message, code } = fieldsOf(error)
  // The server's message quotes a value that it rejects.
  const text = state.startsWith('22') ? 'a value that PostgreSQL cannot hold' : message || code
  return { code: errorCodes[state], cause: state ? `${state}: ${text}` : text }
})
