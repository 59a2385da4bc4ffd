// Deploys that change settings, instance by instance: tokens issued before keep their own lifetimes.

import assert from 'node:assert/strict'
import { day, hour, minute, onEachStore, refused } from './setup.ts'

for (const [before, after] of [
  [hour, 5 * minute],
  [5 * minute, hour],
  [day, minute],
] as const) {
  onEachStore(
    `accessTokenLifetime from ${before} to ${after} s: no token outlives its session's end, wherever it was ended`,
    { absoluteTimeout: 30 * day },
    async (rig) => {
      const old = rig.another({ accessTokenLifetime: before })
      const updated = rig.another({ accessTokenLifetime: after })
      const instances = [old, updated]
      for (const [by, at] of [
        [old, old],
        [old, updated],
        [updated, old],
        [updated, updated],
      ] as const) {
        const { accessToken, session, expiresIn } = await by.issue('ada')
        for (const each of instances) assert.ok(await each.verify(accessToken))
        rig.time.advance(2)
        await at.revoke(session.id)
        rig.time.advance(1.001)
        for (let left = expiresIn - 4; left > 0; left -= Math.ceil(expiresIn / 13)) {
          // An instance that was already running, and one that starts now, with each of the two settings.
          const started = [before, after].map((accessTokenLifetime) => rig.another({ accessTokenLifetime }))
          for (const each of [...instances, ...started]) {
            await refused(each.verify(accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
            await each.prune()
          }
          rig.time.advance(Math.min(left, Math.ceil(expiresIn / 13)))
        }
      }
    },
  )
}
