// Drivers that run the same scenario with fetch, axios and React. Used in Node and, bundled, in a page.

import axios from 'axios'
import { attachDaypass } from '../../src/client/axios.ts'
import type { DaypassClient, SessionSnapshot } from '../../src/client/index.ts'

/** How something ended, as plain data. */
export interface Outcome {
  status?: number
  body?: any
  /** The code of what was thrown. */
  error?: string
  reason?: string
}

/** The actions of a person with an app. */
export interface Driver {
  signIn(password?: string): Promise<Outcome>
  signOut(): Promise<Outcome>
  /** GET, or POST where there is a body. */
  call(url: string, body?: string): Promise<Outcome>
  session(): Pick<SessionSnapshot, 'status' | 'reason'>
}

const outcomeOf = (promise: Promise<unknown>): Promise<Outcome> =>
  promise.then(
    (outcome) => (outcome as Outcome | undefined) ?? {},
    (error) => ({ error: error.code ?? error.name, reason: error.reason }),
  )

/** An app that calls with `client.fetch`. */
export function driveFetch(client: DaypassClient): Driver {
  return {
    signIn: (password = 'right') => outcomeOf(client.signIn({ password }).then(() => {})),
    signOut: () => outcomeOf(client.signOut()),
    call: (url, body) =>
      outcomeOf(
        client.fetch(url, body === undefined ? {} : { method: 'POST', body }).then(async (response) => ({
          status: response.status,
          body: await response.json(),
        })),
      ),
    session() {
      const { status, reason } = client.getSession()
      return reason === undefined ? { status } : { status, reason }
    },
  }
}

/** An app that calls with axios. */
export function driveAxios(client: DaypassClient, config: object = {}): Driver {
  const api = axios.create({ proxy: false, validateStatus: () => true, ...config })
  attachDaypass(api, client)
  return {
    ...driveFetch(client),
    call: (url, data) =>
      outcomeOf(
        api
          .request({ url, ...(data !== undefined && { method: 'POST', data }) })
          .then(({ status, data }) => ({ status, body: data })),
      ),
  }
}
