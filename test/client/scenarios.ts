// Scenarios for every way of calling, in Node and in a browser, over a small driver.

import assert from 'node:assert/strict'
import type { DaypassServer, Fault } from './daypass-server.ts'
import type { Driver, Outcome } from './drivers.ts'

/** A driver that may be in another process. */
export type RemoteDriver = {
  [K in keyof Driver]: (...given: Parameters<Driver[K]>) => Promise<Awaited<ReturnType<Driver[K]>>>
}

/** Where a scenario takes place. */
export interface World {
  server: DaypassServer
  driver: RemoteDriver
  /** The same person's app again, after it was killed: it remembers what was stored, and nothing else. */
  restart(): Promise<RemoteDriver>
  /** Nothing gets through, or everything does again. */
  setOffline(isOffline: boolean): Promise<void>
}

/** Signs in; what is counted is what comes after. */
async function enter(server: DaypassServer, driver: RemoteDriver): Promise<void> {
  assert.deepEqual(await driver.signIn(), {})
  server.seen.length = 0
}

const ok = (outcome: Outcome) => assert.equal(outcome.status, 200, JSON.stringify(outcome))

export const scenarios: Record<string, (world: World) => Promise<void>> = {
  async 'signs in and calls'({ server, driver }) {
    assert.deepEqual(await driver.signIn(), {})
    const { status, body } = await driver.call(`${server.url}/api`)
    assert.deepEqual([status, body.subject], [200, 'ada'])
    assert.deepEqual(await driver.session(), { status: 'signed-in' })
    assert.equal(server.happened('rotated'), false)
  },

  async 'a wrong password is refused with its reason'({ driver }) {
    assert.equal((await driver.signIn('wrong')).error, 'ERR_SIGN_IN_FAILED')
    assert.notEqual((await driver.session()).status, 'signed-in')
  },

  async 'a visitor’s call goes out without a token'({ server, driver }) {
    assert.equal((await driver.call(`${server.url}/api`)).status, 401)
    assert.equal(server.requests('/api')[0]!.headers.authorization, undefined)
    assert.equal((await driver.session()).status, 'signed-out')
  },

  async 'a refused token is renewed and the call made again'({ server, driver }) {
    await enter(server, driver)
    server.expireTokens()
    ok(await driver.call(`${server.url}/api`))
    assert.deepEqual([server.requests('/api').length, server.refreshes(), server.rotations()], [2, 1, 1])
  },

  async 'ten parallel 401s cost one refresh'({ server, driver }) {
    await enter(server, driver)
    server.expireTokens()
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => driver.call(`${server.url}/api`)))
    for (const outcome of outcomes) ok(outcome)
    assert.deepEqual([server.refreshes(), server.rotations()], [1, 1])
  },

  async 'a second 401 is handed over, without a loop'({ server, driver }) {
    await enter(server, driver)
    server.api = async () => Response.json({ error: 'invalid_token' }, { status: 401 })
    const { status, body } = await driver.call(`${server.url}/api`)
    assert.deepEqual([status, body.error], [401, 'invalid_token'])
    assert.deepEqual([server.requests('/api').length, server.refreshes()], [2, 1])
    assert.equal((await driver.session()).status, 'signed-in')
  },

  async 'an upload is sent again whole'({ server, driver }) {
    await enter(server, driver)
    server.expireTokens()
    const text = 'ü'.repeat(50_000)
    const { status, body } = await driver.call(`${server.url}/api`, text)
    assert.deepEqual([status, body.body], [200, text])
    const [first, second] = server.requests('/api')
    assert.deepEqual(second!.body, first!.body)
  },

  async 'a lost answer to a refresh is asked for again, and it counts once'({ server, driver }) {
    await enter(server, driver)
    server.expireTokens()
    server.faults.push(async (response, commit) => {
      await commit()
      response.destroy()
    })
    ok(await driver.call(`${server.url}/api`))
    assert.deepEqual([server.refreshes(), server.rotations(), server.happened('replayed')], [2, 1, true])
  },

  async 'a server in trouble is asked again'({ server, driver }) {
    await enter(server, driver)
    server.expireTokens()
    server.faults.push((response) => response.writeHead(503, { 'retry-after': '0' }).end())
    server.faults.push((response) => response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway'))
    ok(await driver.call(`${server.url}/api`))
    assert.deepEqual([server.refreshes(), server.rotations()], [3, 1])
  },

  async 'offline is said, and kept from being a sign-out'({ server, driver, setOffline }) {
    await enter(server, driver)
    server.expireTokens()
    // Often: a browser sends again by itself what was cut off on a connection that it had used before.
    const cut: Fault = async (response, commit) => {
      await commit()
      await setOffline(true)
      response.destroy()
    }
    server.faults.push(...Array<Fault>(9).fill(cut))
    assert.equal((await driver.call(`${server.url}/api`)).error, 'ERR_OFFLINE')
    assert.equal((await driver.session()).status, 'offline')
    server.faults.length = 0
    await setOffline(false)
    ok(await driver.call(`${server.url}/api`))
    assert.equal((await driver.session()).status, 'signed-in')
    assert.equal(server.rotations(), 1)
  },

  async 'an app killed in the middle of a refresh starts again signed in'({ server, driver, restart }) {
    await enter(server, driver)
    server.expireTokens()
    const held = server.holdRefresh()
    driver.call(`${server.url}/api`).catch(() => {})
    await held.asked
    const again = await restart()
    ok(await again.call(`${server.url}/api`))
    assert.equal(server.rotations(), 1)
    held.answer()
    ok(await again.call(`${server.url}/api`))
  },

  async 'signs out: the server knows, and calls go out without a token'({ server, driver, restart }) {
    await enter(server, driver)
    assert.deepEqual(await driver.signOut(), {})
    assert.equal(server.happened('revoked'), true)
    assert.deepEqual(await driver.session(), { status: 'signed-out', reason: 'sign-out' })
    assert.equal((await driver.call(`${server.url}/api`)).status, 401)
    assert.equal(server.requests('/api')[0]!.headers.authorization, undefined)
    assert.equal((await (await restart()).call(`${server.url}/api`)).status, 401)
    assert.equal(server.refreshes(), 0)
  },

  async 'signs out while a refresh is under way: waiting calls fail, a late answer revives nothing'({
    server,
    driver,
  }) {
    await enter(server, driver)
    server.expireTokens()
    const held = server.holdRefresh()
    const calls = Promise.all([driver.call(`${server.url}/api`), driver.call(`${server.url}/api`)])
    await held.asked
    await driver.signOut()
    for (const outcome of await calls) assert.deepEqual(outcome, { error: 'ERR_SIGNED_OUT', reason: 'sign-out' })
    held.answer()
    assert.equal((await driver.call(`${server.url}/api`)).status, 401)
    assert.equal((await driver.session()).status, 'signed-out')
    assert.deepEqual(await driver.signIn(), {})
    ok(await driver.call(`${server.url}/api`))
  },

  async 'a session ended by the server is over: the caller gets the 401, and may sign in again'({ server, driver }) {
    await enter(server, driver)
    await server.revokeSessions()
    server.expireTokens()
    assert.equal((await driver.call(`${server.url}/api`)).status, 401)
    assert.deepEqual(await driver.session(), { status: 'signed-out', reason: 'ERR_SESSION_REVOKED' })
    assert.deepEqual(await driver.signIn(), {})
    ok(await driver.call(`${server.url}/api`))
  },
}
