// Whether a subject is still allowed in.

import { DaypassError } from '../errors.ts'
import type { Parts } from './parts.ts'

/**
 * Asks the app whether a subject is still allowed in.
 *
 * @throws DaypassError `ERR_SUBJECT_CHECK_FAILED` where the app cannot say.
 */
export async function isAllowed<C>({ settings: { isActive } }: Parts<C>, subject: string): Promise<boolean> {
  if (isActive === undefined) return true
  try {
    return await isActive(subject)
  } catch (cause) {
    throw new DaypassError('ERR_SUBJECT_CHECK_FAILED', undefined, { cause })
  }
}
