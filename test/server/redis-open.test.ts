// DAYPASS_STORE=redis://…: the choice of the driver, errors of wrong URLs, and servers that do not respond.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { createDaypass, DaypassError, isDaypassError } from 'daypass'
import { createRedisStore } from 'daypass/redis'
import type { Redis } from 'ioredis'
import { openRedis } from '../../server/src/open-redis.ts'
import { redisMissing, startRedis } from '../engines/redis.ts'
import { openWithout } from './open-without.ts'

/** Opens Redis as if these drivers were not installed. The tests go from no driver to both. */
const openRedisWithout = (hidden: string[], url: string) => openWithout(hidden, () => openRedis(url))

test('without an installed driver, the error names the command that installs one', async () => {
  await assert.rejects(openRedisWithout(['redis', 'ioredis'], 'redis://localhost'), {
    code: 'ERR_OPTION_INVALID',
    message: /npm install redis/,
  })
})

for (const [library, hidden] of [
  ['ioredis', ['redis']],
  ['redis', []],
] as const) {
  for (const url of ['redis://u:s3cret@127.0.0.1:1/0', 'redis+cluster://u:s3cret@127.0.0.1:1,127.0.0.1:2']) {
    test(`${library}, ${url.split(':')[0]}: if the server does not respond, every call is 503 in bounded time`, async () => {
      const stores = await openRedisWithout([...hidden], url)
      const began = performance.now()
      const calls = [stores.sessions.check(), stores.sessions.find('x'), stores.accounts.findById('1')]
      for (const result of await Promise.allSettled(calls)) {
        const error = (result as PromiseRejectedResult).reason
        assert.ok(isDaypassError(error, 'ERR_STORE_UNAVAILABLE'), String(error))
        assert.equal(error.retryAfter, 1)
        assert.doesNotMatch(`${error.message} ${error.cause}`, /s3cret/)
      }
      assert.ok(performance.now() - began < 6500)
      await stores.close()
      assert.ok(performance.now() - began < 13_000)
    })
  }

  test(`${library}: sessions and accounts on a real server are there again after it was down`, {
    skip: redisMissing,
  }, async (t) => {
    const engine = await startRedis('--user', 'u', 'on', '>p:w', '~*', '+@all')
    t.after(engine.remove)
    const stores = await openRedisWithout([...hidden], engine.url.replace('//', '//u:p%3Aw@'))
    t.after(stores.close)
    const auth = createDaypass({ secret: randomBytes(32), issuer: 'test', store: stores.sessions })
    const { refreshToken } = await auth.issue('ada')
    const account = { id: 'ada', email: 'a@b.c', passwordHash: 'hash', createdAt: 1 }
    await stores.accounts.open()
    assert.equal(await stores.accounts.create(account), true)
    await engine.servers[0]!.kill()
    await engine.servers[0]!.start()
    const deadline = Date.now() + 10_000
    for (;;) {
      try {
        await auth.check()
        break
      } catch (error) {
        if (Date.now() > deadline) throw error
      }
    }
    await auth.refresh(refreshToken)
    assert.deepEqual(await stores.accounts.findById('ada'), account)
  })
}

for (const [library, hidden] of [
  ['ioredis', ['redis']],
  ['redis', []],
] as const) {
  test(`${library}: an IPv6 address`, { skip: redisMissing }, async (t) => {
    const engine = await startRedis('--bind', '127.0.0.1', '::1')
    t.after(engine.remove)
    const stores = await openRedisWithout([...hidden], `redis://[::1]:${engine.servers[0]!.port}`)
    t.after(stores.close)
    await stores.sessions.open('test')
    await stores.sessions.check()
  })

  test(`${library}: errors of the server and the network about credentials and names contain no password`, {
    skip: redisMissing,
  }, async (t) => {
    const engine = await startRedis('--user', 'u', 'on', '>s3cret', '+@connection')
    t.after(engine.remove)
    const { port } = engine.servers[0]!
    await (engine.admin as Redis).config('SET', 'requirepass', 's3cret')
    const urls = {
      WRONGPASS: `redis://u:s3cret-not@127.0.0.1:${port}`,
      NOAUTH: `redis://127.0.0.1:${port}`,
      NOPERM: `redis://u:s3cret@127.0.0.1:${port}`,
      ENOTFOUND: 'redis://u:s3cret@nowhere.invalid',
      ECONNREFUSED: 'redis://u:s3cret@localhost:1',
      'no TLS there': `rediss://u:s3cret@127.0.0.1:${port}`,
    }
    await Promise.all(
      Object.entries(urls).map(async ([name, url]) => {
        const stores = await openRedisWithout([...hidden], url)
        for (const call of [() => stores.sessions.open('test'), () => stores.accounts.findById('1')]) {
          await assert.rejects(call, (error: Error) => {
            assert.ok(isDaypassError(error, 'ERR_STORE_UNAVAILABLE'), `${name}: ${error}`)
            assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cret/, name)
            return true
          })
        }
        await stores.close()
      }),
    )
  })
}

test('an invalid URL is rejected, and the error does not contain its password', async () => {
  for (const url of [
    'redis://',
    'redis://a,b',
    'redis+cluster://a:s3cret@h:1,h:2/3',
    'redis+cluster://',
    'redis://:s3cret@host/x',
    'redis://:s3cret@host:99999',
    'redis://:s3cret@host:6379:6379',
    'redis://:s3cret@[::1',
    'redis://:s3cret@:6379',
    'redis://:s3cret%zz@host',
    'redis://:s3cret/x@host',
    'redis://:s3cret#x@host',
    'redis://u:s3cret@s3cret@host',
    'redis+cluster://:s3cret@h:1,h:99999',
    'redis:localhost',
  ]) {
    await assert.rejects(openRedis(url), (error) => {
      assert.ok(isDaypassError(error, 'ERR_OPTION_INVALID'), url)
      assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cret/)
      return true
    })
  }
})

test('meaningless options are rejected', () => {
  const client: any = { sendCommand: async () => null, withCommandOptions: () => client }
  for (const options of [
    { prefix: '' },
    { prefix: 'a{b' },
    { prefix: 'a}b' },
    { timeout: 0 },
    { timeout: 20_000 },
    { timeout: Number.NaN },
    { wait: { replicas: 0, timeout: 10 } },
    { wait: { replicas: 1, timeout: 5000 } },
  ]) {
    assert.throws(() => createRedisStore(client, options), DaypassError)
  }
  assert.throws(() => createRedisStore({} as any), { code: 'ERR_OPTION_INVALID' })
})
