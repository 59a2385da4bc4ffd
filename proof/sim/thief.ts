// The thief: copies a device's refresh token, redeems it, and repeats his refreshes.

import { type Device, memoryOf, tokenOf } from './device.ts'
import type { Life, Thief } from './life.ts'
import type { Happening } from './plan.ts'
import { serve } from './serve.ts'
import { generationOf, sessionIdOf } from './token.ts'

/** A new thief copies the token of a device, if it holds one, and plans his requests. */
export function steal(
  life: Life,
  device: Device,
  { withKey, keyless, asks, repeats }: Happening & { what: 'theft' },
): void {
  const { loop, checker } = life
  const token = tokenOf(device, loop.now())
  if (token === undefined) return
  const session = sessionIdOf(token)
  const known = checker.getSession(session)
  known.thefts++
  const stolenKey = withKey ? memoryOf(device).key : undefined
  if (stolenKey) known.stolenKeys.add(stolenKey)
  checker.count('thefts tried')
  const loot = `token ${generationOf(token)} of the ${device.plan.name}${stolenKey ? ', and its pending key' : ''}`
  life.tell(`a thief copies ${loot}`)
  const thief: Thief = { session, device, keyless, token, stolenKey, keysMade: 0, completed: undefined, isDone: false }
  life.thieves.push(thief)
  for (const after of asks) loop.after(after, () => redeem(life, thief))
  const [first = 0] = asks
  for (let after = first + repeats.every; after < first + repeats.for; after += repeats.every)
    loop.after(after, () => repeat(life, thief))
}

/** Redeems his newest token. */
export async function redeem(life: Life, thief: Thief): Promise<void> {
  if (thief.isDone) return
  const ownKey = `a-key-of-the-thiefs-own-${life.thieves.indexOf(thief)}-${thief.keysMade++}`
  const key = thief.stolenKey ?? (thief.keyless ? undefined : ownKey)
  thief.stolenKey = undefined
  life.tell(`the thief asks with token ${generationOf(thief.token)}`)
  await refresh(life, thief, thief.token, key)
}

/** Sends his last successful refresh again: the same token and the same key. */
export async function repeat(life: Life, thief: Thief): Promise<void> {
  if (thief.isDone || thief.completed === undefined) return
  const { token, key } = thief.completed
  life.tell(`the thief repeats his refresh of token ${generationOf(token)}`)
  life.checker.count('repetitions of thieves')
  await refresh(life, thief, token, key)
}

async function refresh(life: Life, thief: Thief, token: string, key: string | undefined): Promise<void> {
  const server = life.servers.find(({ isDead }) => !isDead)
  if (server === undefined) return
  const response = await serve(life, server, {
    method: 'POST',
    path: '/auth/refresh',
    headers: {
      'content-type': 'application/json',
      'user-agent': 'thief',
      ...(key && { 'idempotency-key': `"${key}"` }),
    },
    body: JSON.stringify({ refreshToken: token }),
    from: 'thief',
    gone: new AbortController(),
  })
  if (response.status === 401) thief.isDone = true
  if (response.status !== 200) return
  const { refreshToken } = JSON.parse(response.body)
  thief.completed = { token, key }
  thief.token = refreshToken
  life.checker.noteReceived(thief.session, 'thief', generationOf(refreshToken), key ? [key] : [])
}
