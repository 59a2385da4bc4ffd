// The file storage survives crashes, stalls and other processes, and only the owner can read the file.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { type ChildProcess, fork } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import fsp, { mkdtemp, rm } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createFileStorage } from '../../src/client/file-storage.ts'
import { createClient, type DaypassClientError } from '../../src/client/index.ts'
import { send, startDaypass } from './daypass-server.ts'
import { createGate, credentials, startServer } from './scripted-server.ts'

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

test('get returns the text that was set under the same name, else undefined', async (t) => {
  const path = join(await makeFolder(t), 'session.json')
  const storage = createFileStorage(path)
  assert.equal(await storage.get('a'), undefined)
  await Promise.all([storage.set('a', '1'), storage.set('b', '2'), storage.set('a', '3')])
  assert.deepEqual([await storage.get('a'), await storage.get('b')], ['3', '2'])
  assert.equal(await createFileStorage(path).get('a'), '3')
})

test('the file is 0600, a new folder 0700, and the mode of a file that others may read is corrected', async (t) => {
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

test('the next write removes the half-written file of a killed process, and no other file', async (t) => {
  const folder = await makeFolder(t)
  const path = join(folder, 'session.json')
  const others = ['other.aa.tmp', 'session.json.tmp', 'session.json.other.aa.tmp', 'session.json.other']
  for (const name of ['session.json.aa.tmp', ...others]) writeFileSync(join(folder, name), 'half')
  await createFileStorage(path).set('a', '1')
  assert.deepEqual(readdirSync(folder).sort(), ['session.json', ...others].sort())
})

test('a value that is not a string counts as missing, and can be overwritten', async (t) => {
  const path = join(await makeFolder(t), 'session.json')
  for (const value of [7, null, true, {}, ['x']]) {
    writeFileSync(path, JSON.stringify({ a: value, b: 'kept' }))
    const storage = createFileStorage(path)
    assert.equal(await storage.get('a'), undefined)
    await storage.set('a', '{"key":"1"}')
    assert.deepEqual([await storage.get('a'), await storage.get('b')], ['{"key":"1"}', 'kept'])
  }
})

/** Who makes a file operation: all that is called in here counts as one program's. */
const programs = new AsyncLocalStorage<{ halt(): Promise<void> | undefined }>()

/** Lets a program stall before and after any of its file operations. */
function letStall(t: TestContext) {
  const operations: any = fsp
  const originals = { ...operations }
  const names = Object.keys(originals).filter((name) => typeof originals[name] === 'function')
  for (const name of names) {
    operations[name] = async (...given: unknown[]) => {
      const program = programs.getStore()
      await program?.halt()
      const result = await originals[name](...given)
      await program?.halt()
      return result
    }
  }
  syncBuiltinESMExports()
  t.after(() => {
    Object.assign(operations, originals)
    syncBuiltinESMExports()
  })
}

test('a writer that stalls at any point until its lock was removed overwrites nothing when it goes on', {
  timeout: 120_000,
}, async (t) => {
  letStall(t)
  /** Stalls one program at its `at`th moment, until another one has written. Returns whether there was such a moment. */
  async function stallAt(at: number): Promise<boolean> {
    const folder = await makeFolder(t)
    const path = join(folder, 'session.json')
    const step = (key: string) => JSON.stringify({ key })
    await createFileStorage(path).set('a', step('0'))
    const first = createFileStorage(path)
    await first.get('a')
    const [stalled, goOn] = [createGate(), createGate()]
    let moments = 0
    const halt = () => {
      if (moments++ !== at) return
      stalled.open()
      return goOn.opened
    }
    const one = programs.run({ halt }, async () => {
      try {
        await first.set('a', step('1'))
        return 'written'
      } catch (error) {
        return (error as DaypassClientError).reason
      }
    })
    await Promise.race([stalled.opened, one])
    if (moments <= at) return false

    const second = createFileStorage(path)
    const found = await second.get('a')
    await second.set('a', step('2'))
    goOn.open()
    // What the second program found is what the first one had done by then, and nothing came after.
    assert.equal(await one, found === step('1') ? 'written' : 'storage-moved', `moment ${at}`)
    assert.equal(await createFileStorage(path).get('a'), step('2'), `moment ${at}`)
    assert.deepEqual(readdirSync(folder), ['session.json'], `moment ${at}`)
    return true
  }
  const moments = await Promise.all(Array.from({ length: 60 }, (_, at) => stallAt(at)))
  const count = moments.filter(Boolean).length
  t.diagnostic(`${count} moments`)
  assert.ok(count > 10 && count < 60)
})

test('a program that is stopped in the middle of a write, and goes on later, signs nobody out', {
  timeout: 60_000,
}, async (t) => {
  const server = await startDaypass(t, { reuseInterval: 3 })
  const path = join(await makeFolder(t), 'session.json')
  const create = () => createClient({ baseUrl: `${server.url}/auth`, storage: createFileStorage(path) })
  const [one, two] = [create(), create()]
  await one.signIn({ password: 'right' })
  await two.getAccessToken()
  letStall(t)
  const [stalled, goOn] = [createGate(), createGate()]
  const halt = () => {
    // It is about to rename.
    if (!readdirSync(join(path, '..')).some((name) => name.endsWith('.tmp'))) return
    stalled.open()
    return goOn.opened
  }
  const refresh = programs.run({ halt }, () => one.getAccessToken({ forceFresh: true }))
  await stalled.opened
  await two.getAccessToken({ forceFresh: true })
  await two.getAccessToken({ forceFresh: true })
  server.expireTokens()
  goOn.open()
  await refresh
  await two.getAccessToken({ forceFresh: true })
  await create().getAccessToken()
  assert.ok(!server.happened('reused', 'revoked'))
})

test('a lock of another container is no dead process’s, though nobody here has its process id', async (t) => {
  const folder = await makeFolder(t)
  const path = join(folder, 'session.json')
  letStall(t)
  const locked = createGate()
  const goOn = createGate()
  const halt = () => {
    if (!existsSync(`${path}.lock`) || !readFileSync(`${path}.lock`, 'utf8')) return
    locked.open()
    return goOn.opened
  }
  const living = programs.run({ halt }, () => createFileStorage(path).set('a', 'living'))
  await locked.opened
  const lock = JSON.parse(readFileSync(`${path}.lock`, 'utf8'))
  // A process that has ended: its id is nobody's.
  const worker = fork('', { execArgv: ['-e', ''], stdio: 'ignore' })
  await new Promise((resolve) => worker.once('exit', resolve))
  const { pid } = worker

  writeFileSync(`${path}.lock`, JSON.stringify({ ...lock, pid, machine: 'another container' }))
  let isWritten = false
  const other = (async () => {
    await createFileStorage(path).set('b', 'other')
    isWritten = true
  })()
  await new Promise((resolve) => setTimeout(resolve, 500))
  assert.equal(isWritten, false)
  // The same of this machine is a dead process's, and is not waited for.
  writeFileSync(`${path}.lock`, JSON.stringify({ ...lock, id: 'a dead one', pid }))
  await other
  goOn.open()
  await living
  const end = createFileStorage(path)
  assert.deepEqual([await end.get('a'), await end.get('b')], ['living', 'other'])
})

test('several processes write and are killed meanwhile: a reader always finds a complete text', async (t) => {
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
    let last = 'x'
    for (const end = performance.now() + 60_000; kills < 6; ) {
      assert.ok(performance.now() < end, `${kills} kills, ${[...seen]}`)
      const text = (await storage.get('a'))!
      assert.equal(text.length, 1000)
      assert.equal(new Set(text).size, 1, 'one writer’s text, not a mixture')
      seen.add(text[0]!)
      if (text[0] === last) continue
      last = text[0]!
      if (seen.size % 3) continue
      // In the middle of something, as they write without a pause.
      seen.clear()
      await stop(workers.shift()!)
      workers.push(start())
      kills++
    }
  } finally {
    await Promise.all(workers.map(stop))
  }
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
