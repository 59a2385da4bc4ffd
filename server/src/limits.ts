// Limits on wrong passwords, on registrations and on throw-away sessions.
//
// A stranger can fill any counter that is kept by account alone, so no such counter concerns the owner's own browser: a
// browser that has signed in to the account before has a counter of its own, and so has each session.

import { createHash } from 'node:crypto'
import { DaypassError } from 'daypass'
import type { RateLimiterAbstract, RateLimiterRes } from 'rate-limiter-flexible'
import { withinPatience } from './deadline.ts'
import { takeTurn } from './password.ts'
import type { CreateLimiter } from './stores.ts'

const minute = 60

/** Tries in so many seconds, of each kind. */
const kinds = {
  /** Wrong passwords from a network, for any account. */
  network: { points: 100, duration: 15 * minute },
  /** Wrong passwords from a network for one account. */
  pair: { points: 10, duration: 15 * minute },
  /** Wrong passwords for one account, from everywhere but known browsers and sessions. */
  account: { points: 100, duration: 15 * minute },
  /** Wrong passwords from a browser that has signed in to the account with its password. */
  device: { points: 10, duration: 15 * minute },
  /** Wrong passwords in a session. */
  session: { points: 10, duration: 15 * minute },
  /** Registrations from a network, successful or not. */
  registration: { points: 20, duration: 60 * minute },
  /** Throw-away sessions from a network. */
  trial: { points: 60, duration: 60 * minute },
}

type Kind = keyof typeof kinds

/** One counter: its kind and its key. */
export type Counter = readonly [kind: Kind, name: string]

/** Every method may throw `ERR_RATE_LIMITED` and `ERR_STORE_…`. */
export interface Limits {
  /** Counts one registration from a network. It is not given back, so both of its outcomes cost the same. */
  countRegistration(network: string): Promise<void>
  /** Counts one throw-away session from a network. */
  countTrial(network: string): Promise<void>
  /**
   * Runs a check of a password, counted in every counter before it begins: a hundred guesses at once are a hundred. A
   * correct password costs nothing. Null means a wrong one.
   *
   * @throws DaypassError `ERR_OVERLOADED`, and the errors of the check.
   */
  attempt<T>(counters: readonly Counter[], check: () => Promise<T | null>): Promise<T | null>
}

/** Limits on an engine's counters. */
export function createLimits(createLimiter: CreateLimiter): Limits {
  const limiters = Object.fromEntries(
    Object.entries(kinds).map(([kind, limit]) => [kind, createLimiter({ keyPrefix: kind, ...limit })]),
  ) as Record<Kind, RateLimiterAbstract>

  const call = <T>([kind, name]: Counter, body: (limiter: RateLimiterAbstract, key: string) => Promise<T>) =>
    withinPatience(() => body(limiters[kind], hashOf(name)))

  /** @param onCounted Called where the try is counted, even if it is one too many. */
  async function take(counter: Counter, onCounted: (counter: Counter) => void = () => {}): Promise<void> {
    const state = await call(counter, (limiter, key) => limiter.penalty(key))
    onCounted(counter)
    if (state.consumedPoints > kinds[counter[0]].points) throw limited(state)
  }

  /** Rejects before it writes or waits. */
  async function checkFull(counter: Counter): Promise<void> {
    const state = await call(counter, (limiter, key) => limiter.get(key))
    if (state !== null && state.consumedPoints >= kinds[counter[0]].points) throw limited(state)
  }

  /** Uncounts a try that was not a wrong password. */
  async function giveBack(counters: readonly Counter[]): Promise<void> {
    await Promise.all(counters.map((counter) => call(counter, (limiter, key) => limiter.reward(key))))
  }

  async function count(counter: Counter): Promise<void> {
    await checkFull(counter)
    await take(counter)
  }

  return {
    countRegistration: (network) => count(['registration', network]),
    countTrial: (network) => count(['trial', network]),
    async attempt(counters, check) {
      await Promise.all(counters.map(checkFull))
      // Count a try when its turn comes, so that waiting people with correct passwords behind one address fill no counter.
      return takeTurn(async () => {
        const counted: Counter[] = []
        let found: Awaited<ReturnType<typeof check>>
        try {
          const taken = await Promise.allSettled(counters.map((counter) => take(counter, (one) => counted.push(one))))
          for (const result of taken) if (result.status === 'rejected') throw result.reason
          found = await check()
        } catch (error) {
          // Neither a limit nor a database that does not respond is a wrong password.
          await giveBack(counted)
          throw error
        }
        if (found !== null) {
          await forget(counters.filter((counter) => !isShared(counter)))
          await giveBack(counters.filter(isShared))
        }
        return found
      })
    },
  }

  /** A correct password clears the wrong ones of the same browser, session, or network for the same account. */
  async function forget(counters: readonly Counter[]): Promise<void> {
    await Promise.all(counters.map((counter) => call(counter, (limiter, key) => limiter.delete(key))))
  }
}

/** No limits, for load tests. */
export const noLimits: Limits = {
  async countRegistration() {},
  async countTrial() {},
  attempt: (_counters, check) => takeTurn(check),
}

/** Counters that other people's tries count in too. */
const isShared = ([kind]: Counter) => kind === 'network' || kind === 'account'

const limited = ({ msBeforeNext }: RateLimiterRes) =>
  new DaypassError('ERR_RATE_LIMITED', undefined, { retryAfter: msBeforeNext / 1000 })

/** Hashed, so that the counters do not list the people who sign in here. */
const hashOf = (name: string) => createHash('sha256').update(name).digest('base64url').slice(0, 22)
