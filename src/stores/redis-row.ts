// The row of a session in Redis: one string, which scripts take apart with `struct`.
//
// The head is binary: the version, all numbers, then all bytes and the texts that scripts change, each with its length
// before it. The other texts follow as JSON. Scripts copy those as they are.

import { Buffer } from 'node:buffer'
import { bufferOf } from '../core/bytes.ts'
import type { Session } from '../core/session.ts'
import { DaypassError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { assembleSession, columns, createRowMapping } from './row.ts'

const rowVersion = 1

/** The id is the key of the row, not a part of it. */
const stored = columns.map((column, index) => ({ ...column, index })).filter(({ kind }) => kind !== 'id')
const numbers = stored.filter(({ kind }) => kind === 'integer' || kind === 'instant')
const changingTexts = ['ip', 'revoked_reason']
const pieces = stored.filter(({ name, kind }) => kind === 'bytes' || changingTexts.includes(name))
const texts = stored.filter((column) => !numbers.includes(column) && !pieces.includes(column))

/** For `struct`: big-endian; `burst_generation` may be negative, instants are not. */
const layout = `>B${numbers.map(({ kind }) => (kind === 'integer' ? 'i6' : 'I6')).join('')}${'Bc0'.repeat(pieces.length)}`
const numberNames = numbers.map(({ name }) => name).join(', ')
const pieceNames = pieces.map(({ name }) => name)

/** Lua: refuses a row that a newer version wrote, before it is read. */
export const refuseNewer = `if string.byte(row, 1) ~= ${rowVersion} then return {'schema'} end`

/** Lua: takes `row` apart, into locals with the names of the columns. 0 and empty pieces stand for null. */
export const unpackRow = `local version, ${numberNames}, ${pieceNames.join(', ')}, rest = struct.unpack('${layout}', row)`

/** Lua: puts `row` together again from those locals. */
export const packRow = `row = struct.pack('${layout}', version, ${numberNames}, ${pieceNames
  .map((name) => `#${name}, ${name}`)
  .join(', ')}) .. string.sub(row, rest)`

const { toRow } = createRowMapping<unknown>({})

/** Bytes, or a text no longer than a piece can be; empty for null. */
export function encodePiece(value: unknown): Buffer {
  if (value instanceof Uint8Array) return bufferOf(value)
  return Buffer.from(typeof value === 'string' ? value : '').subarray(0, 255)
}

export function encodeRow(session: Session): Buffer {
  const row = toRow(session)
  const head = Buffer.alloc(1 + 6 * numbers.length)
  let at = head.writeUInt8(rowVersion)
  for (const { name, kind } of numbers) {
    const value = Number(row[name] ?? 0)
    at = kind === 'integer' ? head.writeIntBE(value, at, 6) : head.writeUIntBE(value, at, 6)
  }
  const bodies = pieces.map(({ name }) => encodePiece(row[name]))
  return Buffer.concat([head, ...bodies.flatMap((body) => [Uint8Array.of(body.length), body]), encodeTexts(session)])
}

/** The end of a row: the texts that no rotation changes. `added`: those of a newer version. */
export function encodeTexts(session: Session, added: readonly unknown[] = []): Buffer {
  const row = toRow(session)
  return Buffer.from(JSON.stringify([...texts.map(({ name }) => row[name]), ...added]))
}

/** The end of a row as it is stored, and the texts in it that a newer version has added. */
export function readTexts(row: Buffer): { stored: Buffer; added: unknown[] } {
  let at = 1 + 6 * numbers.length
  for (const _ of pieces) at += 1 + row.readUInt8(at)
  const stored = row.subarray(at)
  const parsed = parseJson(String(stored)) as unknown[]
  return { stored, added: parsed.slice(texts.length) }
}

export function decodeRow(id: string, bytes: Buffer): Session {
  if (bytes[0] !== rowVersion) throw new DaypassError('ERR_STORE_SCHEMA')
  const values: unknown[] = columns.map(({ kind }) => (kind === 'id' ? id : null))
  let at = 1
  for (const { index, kind, isNullable } of numbers) {
    const value = kind === 'integer' ? bytes.readIntBE(at, 6) : bytes.readUIntBE(at, 6)
    values[index] = isNullable && value === 0 ? null : value
    at += 6
  }
  for (const { index, kind, isNullable } of pieces) {
    const begin = at + 1
    at = begin + bytes.readUInt8(at)
    if (isNullable && at === begin) continue
    // A copy of bytes: the reply may be part of a much larger buffer, which would be kept with it.
    values[index] = kind === 'bytes' ? new Uint8Array(bytes.subarray(begin, at)) : bytes.toString('utf8', begin, at)
  }
  const parsed = parseJson(bytes.toString('utf8', at)) as unknown[]
  texts.forEach(({ index }, position) => {
    values[index] = parsed[position]
  })
  return assembleSession(values)
}
