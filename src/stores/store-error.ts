// Errors of engines and drivers as `ERR_STORE_…`.

import { DaypassError, type ErrorCode } from '../errors.ts'

/** The translation of an engine's error. */
export interface StoreFailure {
  /** Default `ERR_STORE_UNAVAILABLE`. */
  code?: ErrorCode | undefined
  /** Replaces the code's own message. */
  message?: string | undefined
  /** Must not hold parameters, statements or passwords: drivers put these into their errors. */
  cause: unknown
}

/** Makes the translator of an engine's errors. Errors that are Daypass's own pass through it. */
export function createErrorTranslator(describe: (error: unknown) => StoreFailure): (error: unknown) => DaypassError {
  return (error) => {
    if (error instanceof DaypassError) return error
    const { code = 'ERR_STORE_UNAVAILABLE', message, cause } = describe(error)
    return new DaypassError(code, message, { cause })
  }
}

/** `ERR_STORE_UNAVAILABLE`, and why. */
export const unavailable = (cause: string): DaypassError =>
  new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause })

/** The error that `create` throws if the id is taken. */
export const idTaken = (): DaypassError => unavailable('a session with this id exists')

/** The fields that drivers and engines set on their errors. */
interface ErrorFields {
  code?: unknown
  errcode?: unknown
  errno?: unknown
  sqlState?: unknown
  name?: unknown
  message?: unknown
  cause?: unknown
  errors?: unknown
}

/** The fields of what was thrown, which may be anything. */
export const fieldsOf = (error: unknown): ErrorFields => (typeof error === 'object' && error !== null ? error : {})
