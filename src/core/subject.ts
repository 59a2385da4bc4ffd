// Checks whether a subject may still sign in.

import { DaypassError } from '../errors.ts'
import type { Parts } from './parts.ts'

/**
 * Calls the app's `isActive` to check whether a subject may still sign in.
 *
 * @throws DaypassError `ERR_SUBJECT_CHECK_FAILED` if `isActive` throws.
 */
export async function isAllowed<C>({ settings: { isActive } }: Parts<C>, subject: string): Promise<boolean> {
  if (isActive === undefined) return true
  try {
    return await isActive(subject)
  } catch (cause) {
    throw new DaypassError('ERR_SUBJECT_CHECK_FAILED', undefined, { cause })
  }
}
