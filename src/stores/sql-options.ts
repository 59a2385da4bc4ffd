// The options of the stores in SQL databases.

import { checkOptions, type OptionNames } from '../known-options.ts'
import { checkFunctions } from '../option.ts'
import { readTimeout } from './deadline.ts'
import { readPrefix } from './schema-record.ts'

/** Options that every store in a SQL database has. */
export interface SqlStoreOptions {
  /** The beginning of the name of every table: lower-case letters, digits and underscores. Default "daypass". */
  prefix?: string
  /** Milliseconds that a call may take before the response is 503, at most 10,000. Default 5,000. */
  timeout?: number
  /** This machine's clock, milliseconds since the epoch. Default `Date.now`. */
  clock?: () => number
}

const optionNames: OptionNames<SqlStoreOptions> = { prefix: true, timeout: true, clock: true }

/** Checks the options and adds the defaults. Throws `ERR_OPTION_INVALID`. */
export function readSqlOptions(options: SqlStoreOptions): Required<SqlStoreOptions> {
  checkOptions(options, optionNames)
  checkFunctions(options, 'clock')
  const { prefix, timeout, clock = Date.now } = options
  return { prefix: readPrefix(prefix), timeout: readTimeout(timeout), clock }
}
