// daypass/file-storage: where does a command line or another Node program remember its session?

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DaypassClientError } from './errors.ts'
import type { ClientStorage } from './storage.ts'

/** Milliseconds after which a half-written file, or a lock of nobody's, is left over. */
const abandonedAfter = 60_000
const abandonedLockAfter = 5000

/**
 * A `storage` for `createClient` in one file, which holds the refresh token and is therefore for its owner alone: made with
 * mode 0600 (a file that others may read is mended when it is next read), in a folder that is made with 0700 where it is
 * not there. It is replaced as a whole (written beside, synced, renamed), so that whoever reads it, also after a crash or a
 * power failure, finds the old text or the new one.
 *
 * Several processes may use one file, each client with a storage of its own: a step of a refresh is written only where the
 * file is as that storage last read it, else it is refused and the client tries again with what is there now. So no
 * Idempotency-Key and no token is ever overwritten by a process that is behind. On Windows the folder's own permissions are
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
  const isTemporary = (name: string) => name.startsWith(`${basename(file)}.`) && name.endsWith('.tmp')
  const lock = `${file}.lock`
  /** What was last read or written under each name: a refresh goes on from there. */
  const seen = new Map<string, string | undefined>()
  let isSwept = false
  let tail: Promise<unknown> = Promise.resolve()

  /** All that is remembered, by name. A text that is not ours to read counts as none. */
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
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
      throw error
    }
    try {
      return Object(JSON.parse(text))
    } catch {
      return {}
    }
  }

  async function write(name: string, value: string): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    if (!isSwept) await sweep()
    isSwept = true
    await takeLock()
    try {
      const all = await read()
      // A sign-in and a sign-out begin anew, whatever is there; a refresh does not.
      const isStep = /"(key|last)":/.test(value)
      if (isStep && all[name] !== seen.get(name))
        throw new DaypassClientError('ERR_OFFLINE', { reason: 'storage-moved' })
      await replace(JSON.stringify({ ...all, [name]: value }))
      seen.set(name, value)
    } finally {
      await rm(lock, { force: true })
    }
  }

  /** Waits until no other process writes. A lock whose process is no more is taken away. */
  async function takeLock(): Promise<void> {
    for (;;) {
      try {
        return await writeFile(lock, String(process.pid), { flag: 'wx', mode: 0o600 })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      if (await isAbandoned()) await rm(lock, { force: true })
      else await delay(1 + Math.random() * 10)
    }
  }

  async function isAbandoned(): Promise<boolean> {
    try {
      const { mtimeMs } = await stat(lock)
      if (Date.now() - mtimeMs > abandonedLockAfter) return true
      const pid = Number(await readFile(lock, 'utf8'))
      if (pid > 0) process.kill(pid, 0)
      return false
    } catch (error) {
      // No such process; what is not there any more (ENOENT) or not ours to ask about (EPERM) is not abandoned.
      return (error as NodeJS.ErrnoException).code === 'ESRCH'
    }
  }

  async function replace(text: string): Promise<void> {
    const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
    try {
      const handle = await open(temporary, 'wx', 0o600)
      try {
        await handle.writeFile(text)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await rename(temporary, file)
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
    await syncFolder()
  }

  /** The rename itself is on the disk only when the folder is. */
  async function syncFolder(): Promise<void> {
    if (process.platform === 'win32') return
    const handle = await open(folder, 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  /** What a process that was killed in the middle left there: a token is in it. */
  async function sweep(): Promise<void> {
    for (const name of (await readdir(folder)).filter(isTemporary)) {
      const left = join(folder, name)
      const { mtimeMs } = await stat(left).catch(() => ({ mtimeMs: Number.NaN }))
      if (Date.now() - mtimeMs > abandonedAfter) await rm(left, { force: true })
    }
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
