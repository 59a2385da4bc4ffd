// How is a SQLite database opened and written, and what do its errors mean?

import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DaypassError, type ErrorCode } from '../core/errors.ts'

/** Opens a file, making the folders above it; what goes wrong is told in Daypass's words. */
export function openSqlite(path: string): DatabaseSync {
  return guard(() => {
    if (path !== ':memory:') mkdirSync(dirname(resolve(path)), { recursive: true })
    // Another process may hold the write lock for a moment; the event loop stands still as long, so: a short moment.
    return new DatabaseSync(path, { timeout: 1000 })
  }, path)
}

/** Runs a body in one write transaction; the lock is taken first, so that it never fails half-way for want of it. */
export function transaction<T>(db: DatabaseSync, body: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = body()
    db.exec('COMMIT')
    return result
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

// SQLite's primary result codes (https://sqlite.org/rescode.html).
const errorCodes: Record<number, ErrorCode> = {
  5: 'ERR_STORE_LOCKED',
  6: 'ERR_STORE_LOCKED',
  8: 'ERR_STORE_READ_ONLY',
  11: 'ERR_STORE_CORRUPT',
  13: 'ERR_STORE_FULL',
  26: 'ERR_STORE_CORRUPT',
}

export function asStoreError(cause: unknown, path?: string): DaypassError {
  if (cause instanceof DaypassError) return cause
  const { errcode, code } = cause as { errcode?: number; code?: string }
  const known = errcode === undefined ? undefined : errorCodes[errcode & 0xff]
  if (known !== undefined) return new DaypassError(known, undefined, { cause })
  if (code === 'EACCES' || code === 'EROFS') return new DaypassError('ERR_STORE_READ_ONLY', undefined, { cause })
  const where = path === undefined ? undefined : `The database file cannot be opened: ${path}`
  return new DaypassError('ERR_STORE_UNAVAILABLE', where, { cause })
}

export function guard<T>(call: () => T, path?: string): T {
  try {
    return call()
  } catch (error) {
    throw asStoreError(error, path)
  }
}
