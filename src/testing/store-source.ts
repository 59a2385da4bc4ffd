// How another process opens the same store.

import type { Store } from '../core/store.ts'

/** Names a function that opens a store, for a process that shares nothing with this one. */
export interface StoreSource {
  /** A package's name, or the address of a file (`import.meta.resolve('./my-store.ts')`). */
  module: string
  /** The function's name in it. What it gives may be a promise. */
  export: string
  /** Its arguments: plain data. */
  args?: readonly unknown[]
}

/** Opens the store that a source names. */
export async function openKitStore(source: StoreSource): Promise<Store> {
  const module = (await import(source.module)) as Record<string, (...args: unknown[]) => Store | Promise<Store>>
  return module[source.export]!(...(source.args ?? []))
}
