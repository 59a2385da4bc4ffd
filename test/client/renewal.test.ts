// The timer that renews the token without a call does not stop, whenever the clock moves on while it is set.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createClient } from '../../src/client/index.ts'

/** Lets all pending promises settle. */
async function settle() {
  for (let n = 0; n < 20; n++) await nextTurn()
}

// The clock of a page moves in steps, and one of them may fall between any two of the client's reads.
for (let read = 0; read < 30; read++) {
  test(`a step of the clock before read ${read}: the timer fires within it, and the token is renewed all the same`, async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const step = 0.1
    let now = 1000
    let reads = Number.NEGATIVE_INFINITY
    let requests = 0
    const client = createClient({
      baseUrl: 'https://id.test/auth',
      transport: 'body',
      clock: () => now + (reads++ >= read ? step : 0),
      async fetch(input) {
        if (String(input).endsWith('/refresh')) requests++
        reads = 0
        return Response.json({
          accessToken: 'a.b.c',
          tokenType: 'Bearer',
          expiresIn: 2,
          refreshToken: `dpr_${requests}`,
          session: { id: 'one' },
        })
      },
    })
    const stop = client.subscribe(() => {})
    t.after(stop)
    await client.signIn({ name: 'ada' })
    await settle()
    reads = Number.POSITIVE_INFINITY
    // A fifth of a second before the end of a token of two seconds, and half a step too early.
    const { expiresAt } = client.getSession() as { expiresAt: number }
    now = expiresAt - 200 - step - step / 2
    for (let n = 0; n < 3; n++) {
      t.mock.timers.tick(60_000)
      await settle()
    }
    now = expiresAt + 1000
    for (let n = 0; n < 3; n++) {
      t.mock.timers.tick(60_000)
      await settle()
    }
    assert.ok(requests > 0, 'the token is not renewed')
  })
}
