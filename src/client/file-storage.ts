// daypass/file-storage: where does a command line or another Node program remember its session?

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { ClientStorage } from './storage.ts'

/** Milliseconds after which a half-written file belongs to nobody any more. */
const abandonedAfter = 60_000

/**
 * A `storage` for `createClient` in one file, which holds the refresh token and is therefore for its owner alone: made with
 * mode 0600 (a file that others may read is mended when it is next read), in a folder that is made with 0700 where it is
 * not there. It is replaced as a whole (written beside, synced, renamed), so that whoever reads it, also after a crash or a
 * power failure, finds the old text or the new one.
 *
 * Several processes may use one file: none of them corrupts it, and the client's Idempotency-Key keeps two that refresh at
 * once signed in. What it cannot do is merge: where processes use it for different servers at the same instant, one's
 * text may be lost, so give each server a file of its own. On Windows the folder's own permissions are what protects it.
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
    const text = JSON.stringify({ ...(await read()), [name]: value })
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
    get: async (name) => (await read())[name],
    set(name, value) {
      // One after the other, so that none forgets what another one just wrote.
      const written = tail.then(() => write(name, value))
      tail = written.catch(() => {})
      return written
    },
  }
}
