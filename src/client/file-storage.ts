// daypass/file-storage: where does a command line or another Node program remember its session?

import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DaypassClientError } from './errors.ts'
import type { ClientStorage } from './storage.ts'
import { maybe } from './wait.ts'

/** Milliseconds for which a lock is respected while its process gives no sign. */
const lockPatience = 5000

/**
 * A `storage` for `createClient` in one file, which holds the refresh token and is therefore for its owner alone: made with
 * mode 0600 (a file that others may read is mended when it is next read), in a folder that is made with 0700 where it is
 * not there. It is replaced as a whole (written beside, synced, renamed), so that whoever reads it, also after a crash or a
 * power failure, finds the old text or the new one.
 *
 * Several processes may use one file, each client with a storage of its own: a step of a refresh is written only where the
 * file is as that storage last read it, else it is refused and the client tries again with what is there now. So no
 * Idempotency-Key and no token is ever overwritten by a process that is behind, however long it was stopped in the middle of
 * a write. On Windows the folder's own permissions are
 * what protects the file.
 *
 * @param path The file, relative to the working directory or absolute.
 * @throws Its calls reject as node:fs does (EACCES, ENOSPC …); the client takes that for ERR_OFFLINE and keeps the session.
 * @example
 * ```ts
 * import { homedir } from 'node:os'
 * import { join } from 'node:path'
 * import { createClient } from 'daypass/client'
 * import { createFileStorage } from 'daypass/file-storage'
 *
 * const storage = createFileStorage(join(homedir(), '.config/example/session.json'))
 * const client = createClient({ baseUrl: 'https://api.example.com/auth', storage })
 * ```
 */
export function createFileStorage(path: string): ClientStorage {
  const file = resolve(path)
  const folder = dirname(file)
  const isTemporary = (name: string) =>
    name.startsWith(`${basename(file)}.`) && /^[0-9a-f]+\.tmp$/.test(name.slice(basename(file).length + 1))
  const lock = `${file}.lock`
  /** What was last read or written under each name: a refresh goes on from there. */
  const seen = new Map<string, string | undefined>()
  let tail: Promise<unknown> = Promise.resolve()

  /** All that is remembered, by name. Whatever is no text that was written here counts as none. */
  async function read(): Promise<Record<string, string>> {
    let text: string
    try {
      const handle = await open(file, 'r')
      try {
        const isOpenToOthers = process.platform !== 'win32' && ((await handle.stat()).mode & 0o077) !== 0
        if (isOpenToOthers) await handle.chmod(0o600)
        text = await handle.readFile('utf8')
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return {}
      throw error
    }
    try {
      const entries = Object.entries<string>(Object(JSON.parse(text)))
      return Object.fromEntries(entries.filter(([, value]) => typeof value === 'string'))
    } catch {
      return {}
    }
  }

  // A process that stalls in the middle of a write (a busy disk, SIGSTOP) cannot be told from a dead one, so its lock may be
  // taken from it. Two rules keep it from overwriting what was written meanwhile. Whoever takes the lock removes all
  // half-written files before reading: a rename that comes late then has nothing to rename. And a writer looks whether the
  // lock is still its own between making its file and renaming it: a file that was made late is never renamed.

  async function write(name: string, value: string): Promise<void> {
    while (!(await tryToWrite(name, value)));
  }

  /** Returns false where the lock was taken from this process meanwhile: nothing is written then. */
  async function tryToWrite(name: string, value: string): Promise<boolean> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const id = randomBytes(12).toString('hex')
    const temporary = `${file}.${id}.tmp`
    await takeLock(id)
    try {
      await sweep()
      const all = await read()
      // A sign-in and a sign-out begin anew, whatever is there; a refresh does not.
      const isStep = /"(key|last)":/.test(value)
      if (isStep && all[name] !== seen.get(name))
        throw new DaypassClientError('ERR_OFFLINE', { reason: 'storage-moved' })
      await writeSynced(temporary, JSON.stringify({ ...all, [name]: value }))
      if (!(await isOwn(id))) return false
      await rename(temporary, file)
    } catch (error) {
      if (await isOwn(id)) throw error
      return false
    } finally {
      await rm(temporary, { force: true })
      if (await isOwn(id)) await rm(lock, { force: true })
    }
    seen.set(name, value)
    // The rename itself is on the disk only when the folder is.
    if (process.platform !== 'win32') await syncFolder()
    return true
  }

  /** Waits until no other process writes. The lock of one that is no more, or gives no sign, is taken away. */
  async function takeLock(id: string): Promise<void> {
    let seen: string | undefined
    let since = 0
    while (!(await makeLock(id))) {
      const text = await readLock()
      // By this process's own steady clock: the file's times are another machine's where the folder is on a network.
      if (text !== seen) since = performance.now()
      seen = text
      const isAbandoned = text !== undefined && (isOfTheDead(text) || performance.now() - since > lockPatience)
      if (isAbandoned) await rm(lock, { force: true })
      else await delay(1 + Math.random() * 10)
    }
  }

  async function makeLock(id: string): Promise<boolean> {
    try {
      const handle = await open(lock, 'wx', 0o600)
      try {
        await handle.writeFile(JSON.stringify({ id, machine, pid: process.pid }))
      } catch (error) {
        await rm(lock, { force: true })
        throw error
      } finally {
        await handle.close()
      }
      return true
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false
      throw error
    }
  }

  async function readLock(): Promise<string | undefined> {
    try {
      return await readFile(lock, 'utf8')
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      throw error
    }
  }

  const isOwn = async (id: string) => Boolean((await readLock())?.includes(id))

  async function writeSynced(path: string, text: string): Promise<void> {
    const handle = await open(path, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  async function syncFolder(): Promise<void> {
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** With the lock held: what others left half-written, dead or stalled. A token is in it. */
  async function sweep(): Promise<void> {
    for (const name of (await readdir(folder)).filter(isTemporary)) await rm(join(folder, name), { force: true })
  }

  return {
    async get(name) {
      const text = (await read())[name]
      seen.set(name, text)
      return text
    },
    set(name, value) {
      // One after the other, so that none forgets what another one just wrote.
      const written = tail.then(() => write(name, value))
      tail = written.catch(() => {})
      return written
    },
  }
}

const hasCode = (error: unknown, code: string) => (error as NodeJS.ErrnoException).code === code

/** Where a process id means the same process as here: on this machine since it was started, and in this container. */
const machine = [
  hostname,
  () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  () => readlinkSync('/proc/self/ns/pid'),
]
  .map((part) => maybe(part))
  .join(' ')

/** Whether a lock's process surely is no more. A text that is not whole yet says nothing. */
function isOfTheDead(lock: string): boolean {
  const { machine: its, pid } = Object(maybe(() => JSON.parse(lock)))
  if (its !== machine || !(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    // Not ours to ask about (EPERM) is alive.
    return hasCode(error, 'ESRCH')
  }
}
