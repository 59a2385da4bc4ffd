// Errors about options: each names the option, says what was given, and says what to write instead.

import { DaypassError } from './errors.ts'

/**
 * The error of an option that is missing or wrong.
 *
 * @param name The option as the app writes it.
 * @param given Must be no secret: texts are quoted.
 * @param instead A sentence that says what to write.
 */
export function wrongOption(name: string, given: unknown, instead: string): DaypassError {
  const is = given === undefined ? 'is missing' : `is ${show(given)}`
  return new DaypassError('ERR_OPTION_INVALID', `\`${name}\` ${is}. ${instead}`)
}

/** The error of options that a sentence of its own describes. */
export const optionError = (message: string) => new DaypassError('ERR_OPTION_INVALID', message)

/** The error of an option whose value may hold a secret, such as the address of a database: only its kind is shown. */
export function wrongKind(name: string, given: unknown, instead: string): DaypassError {
  const is = given === undefined ? 'is missing' : `is ${kindOf(given)}`
  return new DaypassError('ERR_OPTION_INVALID', `\`${name}\` ${is}. ${instead}`)
}

/** Describes a value in a few words on one line. */
export const show = (value: unknown): string => (typeof value === 'string' ? `'${cut(value)}'` : kindOf(value))

function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value !== 'object' || value === null) return String(value)
  const name = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== 'Object' && name !== '' ? `a ${name}` : 'an object'
}

/** Whether a value is an object that may hold options. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Checks that options are an object. Without types, apps pass a text or nothing.
 *
 * @param call A call with options, as the app should write it.
 */
export function requireOptions(given: unknown, call: string): void {
  if (isObject(given)) return
  // Only the kind: a secret may have been passed as the options.
  const are = given === undefined ? 'missing' : kindOf(given)
  throw new DaypassError('ERR_OPTION_INVALID', `The options are ${are}. Write \`${call}\`.`)
}

/** Checks that an option is a list where it is given. */
export function checkList(name: string, given: unknown, instead: string): void {
  if (given !== undefined && !Array.isArray(given)) throw wrongOption(name, given, `Give a list: ${instead}`)
}

/** Checks that these members are functions where they are given. */
export function checkFunctions(options: object, ...names: string[]): void {
  for (const name of names) {
    const given = Reflect.get(options, name)
    if (given !== undefined && typeof given !== 'function') throw wrongOption(name, given, 'Give a function.')
  }
}

/** A text on one line, cut. Line breaks and other control characters could forge a line of a log. */
export function cut(text: string): string {
  const line = JSON.stringify(text)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    // JSON leaves these as they are.
    .replaceAll(/[\x7f-\x9f\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return line.length > 80 ? `${line.slice(0, 80)}…` : line
}
