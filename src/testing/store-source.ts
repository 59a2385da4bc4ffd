// The description of a store that another process can open.

import type { Store } from '../core/store.ts'
import { DaypassError } from '../errors.ts'

/** Names a function that opens a store, so that another process can call it. */
export interface StoreSource {
  /** The name of a package, or the URL of a file (`import.meta.resolve('./my-store.ts')`). */
  module: string
  /** The name of the exported function. It returns a store, or a promise of one. */
  export: string
  /** The arguments of the function, as plain data. */
  args?: readonly unknown[]
}

/**
 * Opens the store that a source names.
 *
 * @throws DaypassError `ERR_OPTION_INVALID` if the module has no such export.
 */
export async function openKitStore(source: StoreSource): Promise<Store> {
  const module = (await import(source.module)) as Record<string, (...args: unknown[]) => Store | Promise<Store>>
  const open = module[source.export]
  if (open === undefined) {
    throw new DaypassError('ERR_OPTION_INVALID', `The module of the store exports no \`${source.export}\`.`)
  }
  return open(...(source.args ?? []))
}
