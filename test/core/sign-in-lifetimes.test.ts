// Lifetimes that a sign-in brings: they hold at every refresh, whatever the options say then.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { findRow } from '../../src/testing/store-harness.ts'
import { createRig, day, hour, minute, newKey, onEachStore, refused, spyOn } from './setup.ts'

const year = 365 * day
const options = { idleTimeout: 7 * day, absoluteTimeout: 30 * day, accessTokenLifetime: 15 * minute }

onEachStore('a phone’s session lives a year, a browser’s a week, and a refresh is one call', options, async (rig) => {
  const { time, store } = rig
  const spy = spyOn(store)
  const auth = rig.another({ store: spy.store })
  const phone = await auth.issue('ada', { clientId: 'phone', idleTimeout: year, absoluteTimeout: year })
  const browser = await auth.issue('ada', { clientId: 'browser' })
  assert.deepEqual([phone.session.persistent, browser.session.persistent], [true, true])
  assert.equal(phone.session.expiresAt - time.now(), year * 1000)
  assert.equal(phone.session.idleExpiresAt - time.now(), year * 1000)
  time.advance(6 * day)
  spy.calls.length = 0
  const [next, week] = [await auth.refresh(phone.refreshToken), await auth.refresh(browser.refreshToken)]
  assert.deepEqual(
    spy.calls.filter((call) => call !== 'prune'),
    ['advance', 'advance'],
  )
  assert.equal(next.session.idleExpiresAt, phone.session.expiresAt, 'the absolute end caps it')
  assert.equal(week.session.idleExpiresAt - time.now(), 7 * day * 1000)
  time.advance(300 * day)
  await refused(auth.refresh(week.refreshToken), 'ERR_SESSION_EXPIRED')
  assert.equal((await auth.refresh(next.refreshToken)).session.clientId, 'phone')
  time.set(phone.session.expiresAt)
  assert.deepEqual(await auth.sessions('ada'), [])
})

onEachStore('each lifetime counts by itself, at every refresh, replay and retry', options, async (rig) => {
  const { time } = rig
  const own = { idleTimeout: hour, absoluteTimeout: 3 * hour, accessTokenLifetime: minute, persistent: false }
  const { auth } = rig
  for (const [outcome, keys] of [
    ['replayed', { idempotencyKey: newKey() }],
    ['retried', {}],
  ] as const) {
    const first = await auth.issue('ada', own)
    const rotated = await auth.refresh(first.refreshToken, keys)
    const again = await auth.refresh(first.refreshToken, keys)
    assert.equal(again.outcome, outcome)
    for (const tokens of [first, rotated, again]) {
      assert.equal(tokens.expiresIn, minute)
      assert.equal(tokens.session.persistent, false)
      assert.equal(tokens.session.idleExpiresAt - time.now(), hour * 1000)
      assert.equal(tokens.session.expiresAt - time.now(), 3 * hour * 1000)
      const { issuedAt, expiresAt } = await auth.verify(tokens.accessToken)
      assert.equal(expiresAt - issuedAt, minute * 1000)
    }
    assert.equal((await auth.findSession(again.refreshToken))?.persistent, false)
  }
})

onEachStore('what was issued counts, whatever the options are later', options, async (rig) => {
  const { auth, time } = rig
  const own = await auth.issue('ada', { idleTimeout: 2 * hour, accessTokenLifetime: 10 * minute })
  const plain = await auth.issue('ada')
  const later = rig.another({ idleTimeout: hour, accessTokenLifetime: 5 * minute, absoluteTimeout: 2 * day })
  const next = await later.refresh(own.refreshToken)
  assert.equal(next.expiresIn, 10 * minute)
  assert.equal(next.session.idleExpiresAt - time.now(), 2 * hour * 1000)
  assert.equal(next.session.expiresAt, own.session.expiresAt)
  const todays = await later.refresh(plain.refreshToken)
  assert.equal(todays.expiresIn, 5 * minute)
  assert.equal(todays.session.idleExpiresAt - time.now(), hour * 1000)
})

onEachStore(
  'an access token is always shorter than the idle timeout, also where the options change',
  {},
  async (rig) => {
    // With only one of the two given, the other follows.
    const brief = await rig.auth.issue('ada', { idleTimeout: 10 * minute })
    assert.equal(brief.expiresIn, 5 * minute)
    const long = await rig.auth.issue('ada', { accessTokenLifetime: day })
    assert.equal(long.expiresIn, day)
    const strict = rig.another({ idleTimeout: hour, accessTokenLifetime: 5 * minute })
    assert.equal((await strict.refresh(long.refreshToken)).expiresIn, hour / 2)
    const lax = rig.another({ idleTimeout: 2 * day, accessTokenLifetime: day })
    assert.equal((await lax.refresh(brief.refreshToken)).expiresIn, 5 * minute)
    // A short absolute timeout needs no other.
    assert.equal((await rig.auth.issue('ada', { absoluteTimeout: minute })).expiresIn, minute)
  },
)

test('lifetimes that do not fit are refused at the sign-in, and no row is written', async () => {
  const { auth } = createRig(createMemoryStore(), options)
  const wrong: Record<string, unknown>[] = [
    { accessTokenLifetime: 7 * day },
    { accessTokenLifetime: hour, idleTimeout: hour },
    { accessTokenLifetime: 86_401, idleTimeout: year, absoluteTimeout: year },
    { accessTokenLifetime: 0 },
    { idleTimeout: 31 * day },
    { idleTimeout: 2 * day, absoluteTimeout: day },
    { idleTimeout: 0 },
    { idleTimeout: 1 },
    { idleTimeout: '3600' },
    { idleTimeout: null },
    { absoluteTimeout: Number.NaN },
    { absoluteTimeout: Number.POSITIVE_INFINITY },
    { persistent: 'yes' },
    { persistent: null },
    { persistent: 0 },
  ]
  for (const given of wrong) {
    await assert.rejects(auth.issue('ada', given), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_OPTION_INVALID', JSON.stringify(given))
      assert.ok(Object.keys(given).some((name) => error.message.includes(`\`${name}\``)))
      return true
    })
  }
  assert.deepEqual(await auth.sessions('ada'), [])
})

onEachStore('rows hold whole numbers, even if a sign-in gives fractions', options, async ({ auth, store }) => {
  const { session, expiresIn } = await auth.issue('ada', {
    idleTimeout: 3600.00001,
    absoluteTimeout: 7200.12345,
    accessTokenLifetime: 60.5,
  })
  assert.equal(expiresIn, 61)
  const row = await findRow(store, session.id)
  for (const value of [row.idleTimeout, row.accessTokenLifetime, row.expiresAt, row.idleExpiresAt]) {
    assert.ok(Number.isInteger(value), `${value}`)
  }
})

onEachStore('a session that is adopted has the lifetimes that the adopter gives', options, async (rig) => {
  const { time } = rig
  const lifetimes = { idleTimeout: hour, absoluteTimeout: 2 * hour, accessTokenLifetime: minute, persistent: false }
  const auth = rig.another({ adopt: { find: () => ({ subject: 'ada', ...lifetimes }), forget() {} } })
  const keys = { idempotencyKey: newKey() }
  const adopted = await auth.refresh('an-old-token-of-ada', keys)
  const replayed = await auth.refresh('an-old-token-of-ada', keys)
  const rotated = await auth.refresh(adopted.refreshToken)
  for (const { session, expiresIn } of [adopted, replayed, rotated]) {
    assert.equal(expiresIn, minute)
    assert.equal(session.persistent, false)
    assert.equal(session.idleExpiresAt - time.now(), hour * 1000)
    assert.equal(session.expiresAt - time.now(), 2 * hour * 1000)
  }
})

onEachStore('a sign-out is known as long as the longest access token lives', options, async (rig) => {
  const { auth, time } = rig
  const long = await auth.issue('ada', { accessTokenLifetime: day })
  await auth.revoke(long.session.id)
  time.advance(23 * hour)
  await auth.prune()
  // A server that starts now, and one that has only seen short tokens so far.
  const fresh = rig.another()
  const busy = rig.another()
  assert.ok(await busy.verify((await busy.issue('bob')).accessToken))
  for (const server of [auth, fresh, busy]) await refused(server.verify(long.accessToken), 'ERR_ACCESS_TOKEN_REVOKED')
})

test('an idle timeout alone raises the default absolute timeout, as in the options, and never one that the app chose', async () => {
  const { auth, another, time } = createRig(createMemoryStore())
  const { session } = await auth.issue('ada', { idleTimeout: year })
  assert.equal(session.expiresAt - time.now(), year * 1000)
  assert.equal(session.idleExpiresAt, session.expiresAt)
  assert.equal((await auth.issue('ada', { idleTimeout: day })).session.expiresAt - time.now(), 30 * day * 1000)
  await assert.rejects(another({ idleTimeout: hour, absoluteTimeout: 12 * hour }).issue('ada', { idleTimeout: day }), {
    code: 'ERR_OPTION_INVALID',
    message: /`idleTimeout` must not be longer than `absoluteTimeout`, which is 43200 seconds/,
  })
})

test('an idle timeout that is too short for an access token is named, at a sign-in and in the options', async () => {
  const { auth, another } = createRig(createMemoryStore())
  for (const idleTimeout of [1, 1.9]) {
    const message = new RegExp(`^\`idleTimeout\` is ${idleTimeout}\\. Give a number of seconds, 2 to`)
    await assert.rejects(auth.issue('ada', { idleTimeout }), { code: 'ERR_OPTION_INVALID', message })
    assert.throws(() => another({ idleTimeout }), { code: 'ERR_OPTION_INVALID', message })
  }
  assert.equal((await auth.issue('ada', { idleTimeout: 2 })).expiresIn, 1)
  assert.equal((await another({ idleTimeout: 2 }).issue('ada')).expiresIn, 1)
})
