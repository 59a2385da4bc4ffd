// The mapping between a session and its row, for every engine. A new field of a session is one line here.

import type { Changes, Claims, Device, Session } from '../core/session.ts'
import type { Store } from '../core/store.ts'
import { parseJson } from '../json.ts'

/** The kinds of values in a session, with their types. */
interface Kinds {
  id: string
  text: string
  json: Claims | string[]
  flag: boolean
  integer: number
  /** Milliseconds since the epoch. */
  instant: number
  bytes: Uint8Array
}

export type Kind = keyof Kinds

/** The kinds that fit a field of type `T`. A question mark means that the field may be null. */
type KindOf<T> = {
  [K in Kind]: NonNullable<T> extends Kinds[K] ? (null extends T ? `${K}?` : K) : never
}[Kind]

const sessionFields = {
  id: 'id',
  subject: 'text',
  clientId: 'text',
  scope: 'text',
  claims: 'json',
  generation: 'integer',
  secret: 'bytes',
  parentSalt: 'bytes?',
  parentKey: 'bytes?',
  burstAt: 'instant',
  burstGeneration: 'integer',
  prevBurstGeneration: 'integer',
  rotatedAt: 'instant',
  createdAt: 'instant',
  authTime: 'instant',
  amr: 'json',
  idleExpiresAt: 'instant',
  expiresAt: 'instant',
  idleTimeout: 'integer?',
  accessTokenLifetime: 'integer?',
  persistent: 'flag',
  jkt: 'text?',
  revokedAt: 'instant?',
  revokedReason: 'text?',
} as const satisfies { [Field in keyof Omit<Session, 'device'>]: KindOf<Session[Field]> }

/** The device's fields are columns of their own. A field that is absent from the device is null in the row. */
const deviceFields = { userAgent: 'text?', ip: 'text?', label: 'text?' } as const satisfies Record<
  keyof Device,
  'text?'
>

/** Milliseconds. Indexes hold the hour of an end, so that few refreshes move an entry of an index. */
export const hour = 3_600_000

/** A session that is ended again is announced again, once in so many milliseconds. */
export const announceEvery = 1000

/** One column of a row. */
export interface Column {
  /** In the session, or in its device. */
  field: string
  /** In the database: `client_id`. */
  name: string
  kind: Kind
  isNullable: boolean
}

/** A row by the names of its columns. */
export type Row<Value = unknown> = Record<string, Value>

/** How an engine stores the values of one kind. */
interface ValueCodec<T, Value = unknown> {
  encode(value: T): Value
  decode(stored: never): T
}

/** How an engine stores each kind. Values of a kind that is not named are stored as they are. Null stays null. */
export type RowCodec<Value> = { readonly [K in Kind]?: ValueCodec<Kinds[K], Value | null> }

/** JSON as text. Most sessions have no claims and no `amr`, so their texts are not parsed. */
export const jsonText: ValueCodec<Kinds['json'], string> = {
  encode: (value) => JSON.stringify(value),
  decode: (text: string) => (text === '{}' ? {} : text === '[]' ? [] : (parseJson(text) as Kinds['json'])),
}

function toColumns<Field extends string>(fields: Readonly<Record<Field, Kind | `${Kind}?`>>) {
  return Object.entries<Kind | `${Kind}?`>(fields).map(([field, kind]) => ({
    field: field as Field,
    name: field.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    kind: kind.replace('?', '') as Kind,
    isNullable: kind.endsWith('?'),
  }))
}

const sessionColumns = toColumns(sessionFields)
const deviceColumns = toColumns(deviceFields)

/** The columns of a session, in the order of the table. */
export const columns: readonly Column[] = [...sessionColumns, ...deviceColumns]

/** To be copied: assigning members that exist is twice as fast as adding them. */
const blank: Row = { ...Object.fromEntries([...sessionColumns.map(({ field }) => [field, null]), ['device', null]]) }

/** A session from its values, in the order of {@link columns}. */
export function assembleSession(values: readonly unknown[]): Session {
  const session = { ...blank }
  let index = 0
  for (const { field } of sessionColumns) session[field] = values[index++]
  const device: Row = {}
  for (const { field } of deviceColumns) {
    const value = values[index++]
    if (value !== null) device[field] = value
  }
  session.device = device
  // The compiler cannot follow a list of fields. The lists above check that each kind fits its field.
  return session as unknown as Session
}

/** Sessions to rows and back, as one engine stores them. */
export interface RowMapping<Value> {
  toRow(session: Session): Row<Value | null>
  toSession(row: Row): Session
  /** A session from a row's values alone, in the order of {@link columns}: engines make an array faster than an object. */
  fromValues(values: readonly unknown[]): Session
  /** The columns that {@link Store.update} sets. */
  toChanges(changes: Changes): Row<Value | null>
  /** The part of a row that {@link Store.revokedSince} returns. */
  toRevoked(row: Row): { id: string; revokedAt: number }
}

/** @param idName The engine's name for the column of the id. */
export function createRowMapping<Value>(codec: RowCodec<Value>, idName = 'id'): RowMapping<Value> {
  const stored = columns.map(({ field, name, kind }) => ({
    field,
    name: name === 'id' ? idName : name,
    codec: codec[kind],
  }))

  // The compiler does not know that a value has the type of its column's kind.
  const encode = (valueCodec: RowCodec<Value>[Kind], value: unknown): Value | null =>
    isNull(value) ? null : valueCodec === undefined ? (value as Value) : valueCodec.encode(value as never)
  const decode = (valueCodec: RowCodec<Value>[Kind], value: unknown): unknown =>
    isNull(value) ? null : valueCodec === undefined ? value : valueCodec.decode(value as never)

  return {
    toRow(session) {
      const values: unknown[] = sessionColumns.map(({ field }) => session[field])
      values.push(...deviceColumns.map(({ field }) => session.device[field]))
      return Object.fromEntries(stored.map(({ name, codec }, index) => [name, encode(codec, values[index])]))
    },
    toSession: (row) => assembleSession(stored.map(({ name, codec }) => decode(codec, row[name]))),
    fromValues: (values) => assembleSession(stored.map(({ codec }, index) => decode(codec, values[index]))),
    toChanges(changes) {
      const given: Row = { ...changes }
      const changed = stored.filter(({ field }) => given[field] !== undefined)
      return Object.fromEntries(changed.map(({ field, name, codec }) => [name, encode(codec, given[field])]))
    },
    toRevoked(row) {
      const [id, revokedAt] = [decode(codec.id, row[idName]), decode(codec.instant, row.revoked_at)]
      return { id, revokedAt } as { id: string; revokedAt: number }
    },
  }
}

/** A column may be absent from a document. */
const isNull = (value: unknown) => value === null || value === undefined
