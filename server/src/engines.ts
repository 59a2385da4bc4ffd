// The engines that DAYPASS_STORE can name.

import { DaypassError } from 'daypass'

const schemes = {
  memory: /^memory:/,
  sqlite: /^sqlite:/,
  postgres: /^postgres(ql)?:/,
  mysql: /^mysql:/,
  redis: /^rediss?(\+cluster)?:/,
  mongodb: /^mongodb(\+srv)?:/,
}

export type Engine = keyof typeof schemes

/** The engine of a URL. Throws `ERR_OPTION_INVALID`. */
export function engineOf(url: string): Engine {
  for (const [engine, scheme] of Object.entries(schemes)) if (scheme.test(url)) return engine as Engine
  throw new DaypassError('ERR_OPTION_INVALID', `DAYPASS_STORE must be ${storeForms}.`)
}

/** Whether servers on several machines can share a database of this engine. */
export const isShared = (engine: Engine): boolean => engine !== 'memory' && engine !== 'sqlite'

/** The file of a `sqlite:` URL, with or without the slashes of an authority. Throws `ERR_OPTION_INVALID`. */
export function sqlitePath(url: string): string {
  const path = url.slice('sqlite:'.length).replace(/^\/\/(?=\/)/, '')
  // Rejected before a folder of this name is made for the secret.
  if (path.startsWith('~')) {
    throw new DaypassError(
      'ERR_OPTION_INVALID',
      'The path of DAYPASS_STORE begins with ~, which only a shell replaces: write the whole path.',
    )
  }
  return path
}

/** The forms that DAYPASS_STORE takes. */
export const storeForms = 'sqlite:PATH, postgres://…, mysql://…, redis://…, redis+cluster://…, mongodb://… or memory:'
