// Makes packages look as if they were not installed: `HIDE_MODULES=pg node --import ./hide-modules.ts …`.

import { registerHooks } from 'node:module'

const hidden = new Set((process.env.HIDE_MODULES ?? '').split(',').filter(Boolean))

registerHooks({
  resolve(specifier, context, next) {
    if (!hidden.has(specifier)) return next(specifier, context)
    throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' })
  },
})
