// `daypass/file-storage`: stores the session of a command line or another Node program in a file.

import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DaypassClientError } from './errors.ts'
import type { ClientStorage } from './storage.ts'
import { maybe } from './wait.ts'

/** A lock that has not changed for this time, in milliseconds, counts as abandoned. */
const lockPatience = 5000

/**
 * A `storage` for `createClient` in one file. The file holds the refresh token, so only its owner can read it: it is created
 * with mode 0600, and a missing folder with 0700. If others may read the file, the mode is corrected at the next read. The
 * file is replaced as a whole (written beside, synced, renamed), so that a reader finds the old content or the new one, also
 * after a crash or a power failure. On Windows the permissions of the folder protect the file.
 *
 * Several processes may use one file, each client with a storage of its own. A step of a refresh is written only if the file
 * is unchanged since that storage last read it. Otherwise the write is rejected, and the client tries again with the new
 * content. So a process that is behind never overwrites an Idempotency-Key or a token, even if it was stopped in the middle
 * of a write.
 *
 * @param path The file, relative to the working directory or absolute.
 * @throws DaypassClientError ERR_OPTION_INVALID without a path, and for an address or a `~`. Its calls reject with the errors
 *   of node:fs (EACCES, ENOSPC …). The client then throws ERR_OFFLINE and keeps the session.
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
  // An address, or the `~` that only a shell replaces, would become a folder of that name.
  if (typeof path !== 'string' || path === '' || /^(?:~(?:[^/\\]*[/\\]|$)|[a-z][a-z\d+.-]+:)/i.test(path)) {
    const reason = 'createFileStorage(path): give the path of a file, without a scheme and without ~'
    throw new DaypassClientError('ERR_OPTION_INVALID', { reason })
  }
  const file = resolve(path)
  const folder = dirname(file)
  const isTemporary = (name: string) =>
    name.startsWith(`${basename(file)}.`) && /^[0-9a-f]+\.tmp$/.test(name.slice(basename(file).length + 1))
  const lock = `${file}.lock`
  /** The text last read or written under each name. A step of a refresh must start from it. */
  const seen = new Map<string, string | undefined>()
  let tail: Promise<unknown> = Promise.resolve()

  /** Reads all texts by name. Content that this module cannot have written counts as missing. */
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

  // A process that stalls in the middle of a write (a busy disk, SIGSTOP) looks like a dead one, so its lock may be removed.
  // Two rules prevent that it then overwrites newer content. First, a process that takes the lock removes all half-written
  // files before it reads, so a late rename has no file to rename. Second, a writer checks that it still has the lock between
  // writing its file and renaming it, so a file that was written late is never renamed.

  async function write(name: string, value: string): Promise<void> {
    while (!(await tryToWrite(name, value)));
  }

  /** Returns false if another process removed the lock meanwhile; then nothing is written. */
  async function tryToWrite(name: string, value: string): Promise<boolean> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const id = randomBytes(12).toString('hex')
    const temporary = `${file}.${id}.tmp`
    await takeLock(id)
    try {
      await sweep()
      const all = await read()
      // A sign-in and a sign-out replace any content; a step of a refresh does not.
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
    // The rename is on the disk only after the folder is synced.
    if (process.platform !== 'win32') await syncFolder()
    return true
  }

  /** Waits until no other process writes. Removes the lock of a process that has ended or stalled. */
  async function takeLock(id: string): Promise<void> {
    let seen: string | undefined
    let since = 0
    while (!(await makeLock(id))) {
      const text = await readLock()
      // Use this process's monotonic clock: on a network folder, the file's times are those of another machine.
      if (text !== seen) since = performance.now()
      seen = text
      const isAbandoned = text !== undefined && (hasEnded(text) || performance.now() - since > lockPatience)
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

  /** Removes half-written files of ended or stalled processes, because they contain a token. Needs the lock. */
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
      // Write one after the other, so that no write loses the text of another one.
      const written = tail.then(() => write(name, value))
      tail = written.catch(() => {})
      return written
    },
  }
}

const hasCode = (error: unknown, code: string) => (error as NodeJS.ErrnoException).code === code

/** Identifies where a process id means the same process: this machine since its start, and this container. */
const machine = [
  hostname,
  () => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  () => readlinkSync('/proc/self/ns/pid'),
]
  .map((part) => maybe(part))
  .join(' ')

/** Whether the process of a lock has certainly ended. An incomplete text decides nothing. */
function hasEnded(lock: string): boolean {
  const { machine: its, pid } = Object(maybe(() => JSON.parse(lock)))
  if (its !== machine || !(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    // EPERM: the process is alive and belongs to another user.
    return hasCode(error, 'ESRCH')
  }
}
