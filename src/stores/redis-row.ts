// What does a session look like in Redis? One string: what refreshes change comes first, in binary, for the scripts to
// read and write with `struct`; what never changes follows, the texts of it as JSON.

import { Buffer } from 'node:buffer'
import type { RevokedReason, Session } from '../core/session.ts'
import { DaypassError } from '../errors.ts'

/** In the order of their numbers in rows: only ever added to. */
const reasons = [
  'sign-out',
  'reuse',
  'forgery',
  'inactive',
  'expired',
  'limit',
  'password',
  'admin',
  'replaced',
] as const

/** The number of a reason in a row; 0 is none. */
export const reasonNumber = (reason: RevokedReason | null) => (reason === null ? 0 : reasons.indexOf(reason) + 1)

const rowVersion = 1
const headLength = 48

/** The changing part, for `struct` and for `encodeRow` alike: big-endian numbers, then texts with their length before. */
const layout = '>BI4i6i6I6I6I6I6I6BBc0Bc0Bc0'
const numbers =
  'version, generation, burstGeneration, prevBurstGeneration, burstAt, rotatedAt, idleExpiresAt, expiresAt, revokedAt, reason'

/** Lua: refuses a row that a newer version wrote, before it is looked at. */
export const refuseNewer = `if string.byte(row, 1) ~= ${rowVersion} then return {'schema'} end`

/** Lua: takes `row` apart, into locals named as in Session; `revokedAt` 0, and texts empty, stand for null. */
export const unpackRow = `local ${numbers}, salt, key, ip, rest = struct.unpack('${layout}', row)`

/** Lua: puts `row` together again from those locals. */
export const packRow = `row = struct.pack('${layout}', ${numbers}, #salt, salt, #key, key, #ip, ip) .. string.sub(row, rest)`

const none = new Uint8Array()

export function encodeRow(session: Session): Buffer {
  const { device } = session
  const texts: unknown[] = [session.subject, session.clientId, session.scope, session.claims, session.amr]
  texts.push(session.jkt, device.userAgent ?? null, device.label ?? null)
  const head = Buffer.alloc(headLength)
  let at = head.writeUInt8(rowVersion, 0)
  at = head.writeUInt32BE(session.generation, at)
  at = head.writeIntBE(session.burstGeneration, at, 6)
  at = head.writeIntBE(session.prevBurstGeneration, at, 6)
  at = head.writeUIntBE(session.burstAt, at, 6)
  at = head.writeUIntBE(session.rotatedAt, at, 6)
  at = head.writeUIntBE(session.idleExpiresAt, at, 6)
  at = head.writeUIntBE(session.expiresAt, at, 6)
  at = head.writeUIntBE(session.revokedAt ?? 0, at, 6)
  head.writeUInt8(reasonNumber(session.revokedReason), at)
  const fixed = Buffer.alloc(12)
  fixed.writeUIntBE(session.createdAt, 0, 6)
  fixed.writeUIntBE(session.authTime, 6, 6)
  const pieces = [session.parentSalt ?? none, session.parentKey ?? none, encodeIp(device.ip)]
  return Buffer.concat([
    head,
    ...pieces.flatMap((piece) => [Uint8Array.of(piece.length), piece]),
    Uint8Array.of(session.secret.length),
    session.secret,
    fixed,
    Buffer.from(JSON.stringify(texts)),
  ])
}

/** An address as its bytes, no longer than a row can hold; empty for none. */
export const encodeIp = (ip: string | undefined) => Buffer.from(ip ?? '').subarray(0, 255)

export function decodeRow(id: string, row: Buffer): Session {
  if (row[0] !== rowVersion) throw new DaypassError('ERR_STORE_SCHEMA')
  let at = headLength
  // Copies, because an answer may be a part of a much larger one that would be kept with it.
  const piece = () => {
    const end = at + 1 + row[at]!
    const bytes = new Uint8Array(row.subarray(at + 1, end))
    at = end
    return bytes
  }
  const orNull = (bytes: Uint8Array) => (bytes.length === 0 ? null : bytes)
  const parentSalt = orNull(piece())
  const parentKey = orNull(piece())
  const ip = Buffer.from(piece()).toString()
  const secret = piece()
  const [subject, clientId, scope, claims, amr, jkt, userAgent, label] = JSON.parse(row.toString('utf8', at + 12))
  const revokedAt = row.readUIntBE(41, 6)
  return {
    id,
    subject,
    clientId,
    scope,
    claims,
    generation: row.readUInt32BE(1),
    secret,
    parentSalt,
    parentKey,
    burstAt: row.readUIntBE(17, 6),
    burstGeneration: row.readIntBE(5, 6),
    prevBurstGeneration: row.readIntBE(11, 6),
    rotatedAt: row.readUIntBE(23, 6),
    createdAt: row.readUIntBE(at, 6),
    authTime: row.readUIntBE(at + 6, 6),
    amr,
    idleExpiresAt: row.readUIntBE(29, 6),
    expiresAt: row.readUIntBE(35, 6),
    jkt,
    device: {
      ...(userAgent === null ? {} : { userAgent }),
      ...(ip === '' ? {} : { ip }),
      ...(label === null ? {} : { label }),
    },
    revokedAt: revokedAt === 0 ? null : revokedAt,
    revokedReason: reasons[row[47]! - 1] ?? null,
  }
}
