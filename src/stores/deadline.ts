// How long may an engine take to answer?

import { DaypassError } from '../errors.ts'

/**
 * Gives a call of an engine so many milliseconds. A call that is late may still be carried out: the protocol is made
 * for answers that are lost, so who asked is told 503 and asks again.
 *
 * @throws DaypassError `ERR_STORE_UNAVAILABLE` when the time is over.
 */
export async function withDeadline<T>(call: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new DaypassError('ERR_STORE_UNAVAILABLE', undefined, { cause: `no answer in ${milliseconds} ms` }))
    }, milliseconds)
  })
  try {
    return await Promise.race([call, late])
  } finally {
    clearTimeout(timer)
  }
}
