// Rejects options that do not exist. A misspelled option would silently have its default.

import { DaypassError } from './errors.ts'
import { cut, isObject, requireOptions, show, wrongOption } from './option.ts'

/** The names of a type's options. The compiler keeps the list equal to the type. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>

/**
 * Throws `ERR_OPTION_INVALID` for options that are no object, and for one that is not known. `undefined` counts as not
 * given.
 *
 * @param where The option that holds these, with a dot, such as `cookie.`.
 * @param advice By name: the way to get what an option of that name would mean.
 */
export function checkOptions(
  given: unknown,
  known: Readonly<Record<string, true>>,
  where = '',
  advice: Readonly<Record<string, string>> = {},
): void {
  if (given === undefined) return
  if (!isObject(given)) {
    if (where !== '') throw wrongOption(where.slice(0, -1), given, 'Give an object.')
    requireOptions(given, `{ ${Object.keys(known)[0]}: … }`)
    return
  }
  // A refresh runs this, so it makes no lists.
  for (const name in given) {
    if (known[name] === true || given[name] === undefined) continue
    const names = Object.keys(known)
    const meant = names.find((one) => fold(one) === fold(name))
    const hint = Object.hasOwn(advice, name)
      ? advice[name]
      : meant === undefined
        ? `The options are ${names.map((one) => `\`${where}${one}\``).join(', ')}.`
        : `It is spelled \`${where}${meant}\`.`
    throw new DaypassError('ERR_OPTION_INVALID', `\`${where}${cut(name)}\` is not an option. ${hint}`)
  }
}

/**
 * Checks options that restrict a call to some session, such as `subject`: strings where they are there at all. `undefined`,
 * as `user?.id` may be, would lift the restriction.
 */
export function checkConditions(given: object, ...names: string[]): void {
  for (const name of names) {
    if (!(name in given)) continue
    const value = Reflect.get(given, name)
    if (typeof value === 'string') continue
    const is = value === undefined ? 'undefined' : show(value)
    throw new DaypassError('ERR_OPTION_INVALID', `\`${name}\` is ${is}. Give a string, or leave it out.`)
  }
}

/** Letters that differ only in case, in `_` or `-`, or in a plural. */
const fold = (name: string) => name.toLowerCase().replaceAll(/[-_]|s$/g, '')
