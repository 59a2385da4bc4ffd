// A store is opened before its first call, whichever call that is.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openFirst } from '../../src/core/open-store.ts'
import type { Store } from '../../src/core/store.ts'

/** A store that records its calls, and returns each one's name. */
function makeStore(open: () => Promise<void> = async () => {}) {
  const calls: unknown[][] = []
  const record =
    (name: string) =>
    async (...given: unknown[]) => {
      calls.push([name, ...given])
      return name
    }
  const names = 'create find advance update revoke revokeSubject list revokedSince prune check close readClock'.split(
    ' ',
  )
  const recording = Object.fromEntries(names.map((name) => [name, record(name)]))
  const opening = async (issuer: string) => {
    calls.push(['open', issuer])
    await open()
  }
  return { store: { ...recording, open: opening } as unknown as Store, calls, names }
}

const first = (store: Store, onOpen = async () => {}) => openFirst(store, 'https://id.example', onOpen, () => undefined)

for (const name of makeStore().names.filter((one) => one !== 'close')) {
  test(`${name} opens the store before its first call, and passes on what it is given`, async () => {
    const { store, calls } = makeStore()
    const call = Reflect.get(first(store), name) as (...given: number[]) => Promise<unknown>
    assert.equal(await call(1, 2, 3), name)
    assert.equal(await call(1, 2, 3), name)
    assert.deepEqual(
      calls.map(([one]) => one),
      ['open', name, name],
    )
    assert.deepEqual(calls[1], calls[2], 'the first call is passed on as the next ones are')
  })
}

test('closing a store does not open it', async () => {
  const { store, calls } = makeStore()
  await first(store).close()
  assert.deepEqual(calls, [['close']])
})

test('calls that wait share one attempt; one that failed is made again, and what follows it is awaited', async () => {
  let attempts = 0
  let followed = 0
  const { store, calls } = makeStore(async () => {
    if (++attempts === 1) throw new Error('away')
  })
  const opening = first(store, async () => void followed++)
  const failed = await Promise.allSettled([opening.find('a'), opening.check(), opening.ready()])
  assert.deepEqual(
    failed.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
  assert.deepEqual([attempts, followed], [1, 0])
  await Promise.all([opening.find('a'), opening.check(), opening.ready()])
  assert.deepEqual([attempts, followed], [2, 1])
  assert.deepEqual(calls.slice(2).sort(), [['check'], ['find', 'a']])
})

test('an open store that is to be used first waits for what must come before', async () => {
  const { store } = makeStore()
  const { promise, resolve } = Promise.withResolvers<void>()
  const opening = openFirst(
    store,
    'https://id.example',
    async () => {},
    () => promise,
  )
  await opening.ready()
  let isReady = false
  const ready = opening.ready().then(() => {
    isReady = true
  })
  await new Promise((done) => setImmediate(done))
  assert.equal(isReady, false)
  resolve()
  await ready
})
