// The faulty proxy causes only faults that a real network can cause.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startFaultyProxy } from '../../src/testing/index.ts'

test('after a cut, only the beginning of the data has arrived', async (t) => {
  const engine = createServer(async (socket) => {
    socket.on('error', () => {}).setNoDelay(true)
    for (const piece of ['one two', ' three', ' four']) {
      socket.write(piece)
      await delay(30)
    }
  }).listen(0, '127.0.0.1')
  await once(engine, 'listening')
  // The delay of a chunk, whether it is cut, and how much of it arrives. The cut comes when later chunks have arrived.
  const chances = [1, 0, 0.5]
  const proxy = await startFaultyProxy({
    port: (engine.address() as AddressInfo).port,
    cut: 0.5,
    delay: 200,
    chance: () => chances.shift() ?? 0.9,
  })
  t.after(async () => {
    await proxy.close()
    engine.close()
  })

  const socket = createConnection(proxy.port, proxy.host).on('error', () => {})
  let text = ''
  socket.on('data', (data) => {
    text += data
  })
  await once(socket, 'close')
  assert.equal(text, 'one')
  assert.equal(proxy.cuts(), 1)
})
