// Imports drivers that only some need.

/**
 * Imports an optional peer, or returns undefined if it is not installed. The name is a variable, so that bundlers do not
 * look for the module.
 */
export async function importPeer<Module>(name: string): Promise<Module | undefined> {
  try {
    return await import(name)
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_MODULE_NOT_FOUND') return undefined
    throw error
  }
}
