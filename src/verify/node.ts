// Modules of Node, found at run time: `daypass/verify` imports no `node:` module, so that it runs on every platform.

/** node:crypto and Buffer. */
export interface NodeModules {
  crypto: typeof import('node:crypto')
  Buffer: typeof import('node:buffer').Buffer
}

/** The modules, in Node from 20.16 and in runtimes that have them as well (Bun, Deno); undefined elsewhere. */
export const node: NodeModules | undefined = findModules()

function findModules(): NodeModules | undefined {
  // A page or a bundler may have a `process` of another kind.
  const get = globalThis.process?.getBuiltinModule
  if (typeof get !== 'function') return undefined
  const crypto = get('node:crypto')
  const buffer = get('node:buffer')
  return crypto && buffer && { crypto, Buffer: buffer.Buffer }
}
