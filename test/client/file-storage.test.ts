// Does the file survive what happens to files, and is it its owner's alone?

import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createFileStorage } from '../../src/client/file-storage.ts'
import { createClient } from '../../src/client/index.ts'
import { send, startDaypass } from './daypass-server.ts'
import { credentials, startServer } from './scripted-server.ts'

async function makeFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'daypass-file-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

const modeOf = (path: string) => statSync(path).mode & 0o777

test('a session outlives the process: signed in once, the next client goes on', async (t) => {
  const server = await startServer(t)
  const path = join(await makeFolder(t), 'deep/in/session.json')
  const create = () => createClient({ baseUrl: `${server.url}/auth`, storage: createFileStorage(path) })
  await create().signIn(credentials)
  assert.equal((await create().fetch(`${server.url}/api`)).status, 200)
  assert.equal((await create().fetch(`${server.url}/api`)).status, 200)
  assert.equal(server.refreshes(), 2)

  await create().signOut()
  assert.doesNotMatch(readFileSync(path, 'utf8'), /refresh-/, 'no token stays behind')
  assert.equal(server.hasSession(), false)
  assert.equal((await create().fetch(`${server.url}/api`)).status, 401)
})

test('what was set is got, under each name; what was not is undefined', async (t) => {
  const path = join(await makeFolder(t), 'session.json')
  const storage = createFileStorage(path)
  assert.equal(await storage.get('a'), undefined)
  await Promise.all([storage.set('a', '1'), storage.set('b', '2'), storage.set('a', '3')])
  assert.deepEqual([await storage.get('a'), await storage.get('b')], ['3', '2'])
  assert.equal(await createFileStorage(path).get('a'), '3')
})

test('the file is 0600, its new folder 0700, and a file that others may read is mended', async (t) => {
  const folder = await makeFolder(t)
  const path = join(folder, 'new/session.json')
  const storage = createFileStorage(path)
  await storage.set('a', '1')
  assert.equal(modeOf(path), 0o600)
  assert.equal(modeOf(join(folder, 'new')), 0o700)
  chmodSync(path, 0o644)
  assert.equal(await storage.get('a'), '1')
  assert.equal(modeOf(path), 0o600)
  chmodSync(path, 0o666)
  await storage.set('a', '2')
  assert.equal(modeOf(path), 0o600)
})

test('a folder that was there keeps its mode, and nothing but the file is left in it', async (t) => {
  const folder = await makeFolder(t)
  chmodSync(folder, 0o755)
  const storage = createFileStorage(join(folder, 'session.json'))
  for (let i = 0; i < 20; i++) await storage.set('a', String(i))
  assert.equal(modeOf(folder), 0o755)
  assert.deepEqual(readdirSync(folder), ['session.json'])
})

test('a text that is not ours counts as none; a file that cannot be read is an error, not a sign-out', async (t) => {
  const folder = await makeFolder(t)
  const path = join(folder, 'session.json')
  for (const text of ['', '{"a":', 'null', '7']) {
    writeFileSync(path, text)
    assert.equal(await createFileStorage(path).get('a'), undefined)
  }
  const taken = join(folder, 'folder')
  mkdirSync(taken)
  await assert.rejects(async () => createFileStorage(taken).get('a'), { code: 'EISDIR' })
  await assert.rejects(async () => createFileStorage(taken).set('a', '1'), { code: 'EISDIR' })
  await assert.rejects(async () => createFileStorage(join(path, 'below')).set('a', '1'), /EEXIST|ENOTDIR/)
  assert.deepEqual(readdirSync(folder).sort(), ['folder', 'session.json'])
})

test('what a killed process left half-written is swept, what another one is writing is not', async (t) => {
  const folder = await makeFolder(t)
  const path = join(folder, 'session.json')
  const [old, fresh, foreign] = ['session.json.aa.tmp', 'session.json.bb.tmp', 'other.tmp'].map((name) => {
    const file = join(folder, name)
    writeFileSync(file, 'half')
    return file
  })
  utimesSync(old!, new Date(0), new Date(0))
  utimesSync(foreign!, new Date(0), new Date(0))
  await createFileStorage(path).set('a', '1')
  assert.deepEqual(
    [old, fresh, foreign].map((file) => existsSync(file!)),
    [false, true, true],
  )
})

test('several processes write and are killed at it: whoever reads finds a whole text, always', async (t) => {
  const path = join(await makeFolder(t), 'session.json')
  const worker = new URL('./file-storage-worker.ts', import.meta.url)
  const storage = createFileStorage(path)
  await storage.set('a', 'x'.repeat(1000))
  const start = () => fork(worker, [path], { stdio: 'ignore' })
  const workers = [start(), start(), start()]
  const stop = (worker: ChildProcess) => {
    worker.kill('SIGKILL')
    return new Promise((resolve) => worker.once('exit', resolve))
  }
  const seen = new Set<string>()
  let kills = 0
  try {
    let killAt = 400
    for (const begun = performance.now(); performance.now() - begun < 3000; ) {
      const text = (await storage.get('a'))!
      assert.equal(text.length, 1000)
      assert.equal(new Set(text).size, 1, 'one writer’s text, not a mixture')
      seen.add(text[0]!)
      if (performance.now() - begun > killAt) {
        killAt += 300
        await stop(workers.shift()!)
        workers.push(start())
        kills++
      }
    }
  } finally {
    await Promise.all(workers.map(stop))
  }
  assert.ok(seen.size > 1, 'the others have written')
  assert.ok(kills > 3)
})

test('several programs refresh one session from one file, a third of the answers lost: nobody is signed out', {
  timeout: 60_000,
}, async (t) => {
  const server = await startDaypass(t, { reuseInterval: 30 })
  const path = join(await makeFolder(t), 'session.json')
  await createClient({ baseUrl: `${server.url}/auth`, storage: createFileStorage(path) }).signIn({ password: 'right' })
  const worker = new URL('./file-session-worker.ts', import.meta.url)
  const workers = [1, 2, 3].map(() =>
    fork(worker, [path, server.url], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }),
  )
  t.after(() => workers.forEach((each) => void each.kill('SIGKILL')))
  let refreshes = 0
  for (let round = 0; round < 4; round++) {
    // Hours go by between the rounds: a key that one program wrote over another's would now make its owner a thief.
    server.expireTokens()
    const told = workers.map((each) => new Promise<any>((resolve) => each.once('message', resolve)))
    for (const each of workers) each.send('go')
    for (let i = 0; i < 20; i++) {
      server.faults.push(async (response, commit) => {
        await commit()
        response.destroy()
      })
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    server.faults.length = 0
    for (const each of workers) each.send('stop')
    for (const { refreshes: own, over } of await Promise.all(told)) {
      assert.equal(over, undefined)
      refreshes += own
    }
  }
  t.diagnostic(`${refreshes} refreshes, ${server.rotations()} rotations`)
  assert.ok(refreshes > 6)
  assert.ok(!server.happened('reused', 'revoked'))
})

test('a program whose request arrives after another program refreshed twice is not a thief', {
  timeout: 60_000,
}, async (t) => {
  const server = await startDaypass(t, { reuseInterval: 30 })
  const path = join(await makeFolder(t), 'session.json')
  const create = () => createClient({ baseUrl: `${server.url}/auth`, storage: createFileStorage(path) })
  const client = create()
  await client.signIn({ password: 'right' })
  let arrive = () => {}
  const late = new Promise<void>((resolve) => {
    arrive = resolve
  })
  let isSent = () => {}
  const sent = new Promise<void>((resolve) => {
    isSent = resolve
  })
  // Held on its way to the server: the program has written its key down, and the server has seen nothing.
  server.faults.push(async (response, commit) => {
    isSent()
    await late
    await send(response, await commit())
  })
  const worker = fork(new URL('./file-session-worker.ts', import.meta.url), [path, server.url], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  t.after(() => worker.kill('SIGKILL'))
  const told = new Promise<any>((resolve) => worker.once('message', resolve))
  worker.send('go')
  await sent
  // The other program's key is in the file, so the first of these is the same question; the second is the next one.
  await client.getAccessToken({ forceFresh: true })
  await client.getAccessToken({ forceFresh: true })
  assert.equal(server.rotations(), 2)
  arrive()
  await new Promise((resolve) => setTimeout(resolve, 200))
  worker.send('stop')
  assert.equal((await told).over, undefined)
  assert.ok(!server.happened('reused', 'revoked'))
  await create().getAccessToken({ forceFresh: true })
})
