// The server's MySQL or MariaDB breaks off connections, or stops answering: calls fail, and the next ones succeed.

import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import { withinPatience } from '../../server/src/deadline.ts'
import { openStores } from '../../server/src/stores.ts'
import { type MysqlEngine, noMysql, startMysql } from '../engines/mysql.ts'

describe('mysql:', { skip: noMysql }, () => {
  let engine: MysqlEngine
  before(async () => {
    engine = await startMysql()
  })
  after(() => engine.remove())

  /** The stores of an empty database, behind a proxy whose open connections can be cut, or stopped for good. */
  async function start(t: TestContext) {
    const target = new URL(await engine.database())
    const sockets = new Set<Socket>()
    /** Called with what a client sends. */
    let onData = (_text: string, _client: Socket): void => {}
    let isStopped = false
    const proxy = createServer((client) => {
      const server = connect(Number(target.port), target.hostname)
      for (const socket of [client, server]) {
        sockets.add(socket)
        socket
          .on('error', () => {})
          .once('close', () => {
            sockets.delete(socket)
            for (const other of [client, server]) other.destroy()
          })
      }
      let isMute = false
      client.on('data', (data) => {
        isMute ||= isStopped
        if (isMute) return
        server.write(data)
        onData(data.toString('latin1'), client)
      })
      server.on('data', (data) => isMute || client.write(data))
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const url = new URL(target)
    url.port = String((proxy.address() as AddressInfo).port)
    const stores = await openStores(url.href)
    await stores.accounts.open()
    t.after(async () => {
      for (const socket of sockets) socket.destroy()
      proxy.close()
      await stores.close()
    })
    return {
      stores,
      onData: (listener: typeof onData) => {
        onData = listener
      },
      stop: (value: boolean) => {
        isStopped = value
      },
    }
  }

  for (const part of ['BEGIN', 'INSERT INTO', 'SELECT points', 'COMMIT', 'DELETE FROM']) {
    test(`a connection that breaks at ${part} of a limit fails that call alone`, async (t) => {
      const { stores, onData } = await start(t)
      const limiter = stores.createLimiter({ keyPrefix: 'network', points: 10, duration: 60 })
      const run = async () => {
        await limiter.penalty('key')
        await limiter.delete('key')
      }
      await run()
      let cuts = 0
      onData((text, client) => {
        if (cuts > 0 || !text.includes(part)) return
        cuts++
        client.destroy()
      })
      await assert.rejects(run())
      assert.equal(cuts, 1)
      // What the driver reports later, it reports now.
      await new Promise((resolve) => setTimeout(resolve, 200))
      await run()
    })
  }

  test('connections that no longer answer are given up after their calls', async (t) => {
    const { stores, stop } = await start(t)
    const limiter = stores.createLimiter({ keyPrefix: 'network', points: 10, duration: 60 })
    // As many connections as there may be.
    const find = () => stores.accounts.findByEmail('ada@example.com')
    await Promise.all(Array.from({ length: 10 }, find))
    stop(true)
    const calls = Array.from({ length: 10 }, (_, n) => (n % 2 ? find() : withinPatience(() => limiter.penalty('key'))))
    const results = await Promise.allSettled(calls)
    assert.ok(results.every((result) => result.status === 'rejected' && result.reason.code === 'ERR_STORE_UNAVAILABLE'))
    stop(false)
    assert.equal(await find(), null)
    await withinPatience(() => limiter.penalty('key'))
  })
})
