// A hundred concurrent refreshes of one token, through two instances on one database.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createDaypass, type Store } from '../../src/index.ts'

const key = () => randomBytes(16).toString('base64url')

/** One refresh wins and the others get 409. Its token works at the other instance, and there is one session. */
export async function raceThrough(stores: readonly [Store, Store]): Promise<void> {
  const secret = randomBytes(32)
  const auths = stores.map((store) => createDaypass({ secret, issuer: 'test', store }))
  const { refreshToken, session } = await auths[0]!.issue('ada')
  const results = await Promise.allSettled(
    Array.from({ length: 100 }, (_, index) => auths[index % 2]!.refresh(refreshToken, { idempotencyKey: key() })),
  )
  const won = results.filter((result) => result.status === 'fulfilled')
  assert.equal(won.length, 1)
  for (const result of results) {
    if (result.status === 'rejected') assert.equal(result.reason.code, 'ERR_REFRESH_SUPERSEDED')
  }
  await auths[1]!.refresh(won[0]!.value.refreshToken, { idempotencyKey: key() })
  assert.deepEqual(
    (await auths[0]!.sessions('ada')).map(({ id }) => id),
    [session.id],
  )
}
