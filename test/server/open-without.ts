// Opens a server's databases as if some drivers were not installed.

import { registerHooks } from 'node:module'

/** Runs `open` while the server finds none of the hidden packages. Node caches a package once it is found. */
export async function openWithout<T>(hidden: string[], open: () => Promise<T>): Promise<T> {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (hidden.includes(specifier) && /server\/src\/peer/.test(context.parentURL ?? '')) {
        throw Object.assign(new Error('hidden'), { code: 'ERR_MODULE_NOT_FOUND' })
      }
      return next(specifier, context)
    },
  })
  try {
    return await open()
  } finally {
    hooks.deregister()
  }
}
