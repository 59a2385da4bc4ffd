// Imports drivers that only some need.

/**
 * An optional peer's module, or undefined where it is not installed. The name is no literal where it is imported, so that
 * nothing that bundles us looks for it.
 */
export async function importPeer(name: string): Promise<any> {
  try {
    return await import(name)
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
