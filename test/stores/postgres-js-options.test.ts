// The whole contract through a `postgres` client, with each option that apps can set.

import { test } from 'node:test'
import postgres from 'postgres'
import {
  contract,
  type Driver,
  fastDatabase,
  isRefused,
  spoiled,
  throughPostgresJs,
  usePostgres,
} from './postgres-setup.ts'

let url = ''
const server = usePostgres(async (engine) => {
  url = await fastDatabase(engine)
})

// postgres.test.ts tests clients without options. Independent options share a line.
const postgresJsOptions: Record<string, postgres.Options<any>> = {
  'fetch_types: false, prepare: false, max: 1': { fetch_types: false, prepare: false, max: 1 },
  'transform: postgres.camel, types: bigint': { transform: postgres.camel, types: { bigint: postgres.BigInt } },
  'transform: postgres.pascal, fetch_types: false': { transform: postgres.pascal, fetch_types: false },
  'transform: postgres.kebab, max_pipeline: 1 and short lives': {
    transform: postgres.kebab,
    max: 2,
    ...{ max_pipeline: 1 },
    idle_timeout: 1,
    max_lifetime: 1,
    keep_alive: 1,
    connection: { application_name: 'ADayInTheLife', statement_timeout: 20_000 },
  },
  'transforms, undefined and types of one’s own': {
    transform: {
      undefined: null,
      column: { from: (name) => `x_${name}` },
      value: { from: () => 'spoiled' },
      row: (row: object) => ({ ...row }),
    },
    types: {
      other: { to: 20, from: spoiled.filter((type) => type !== 25), serialize: () => '7', parse: () => 'spoiled' },
    },
  },
  'debug and parameters of the server session': {
    debug: () => {},
    connection: {
      bytea_output: 'escape',
      DateStyle: 'German',
      TimeZone: 'Asia/Kathmandu',
      default_transaction_isolation: 'serializable',
    } as never,
  },
}

for (const [option, options] of Object.entries(postgresJsOptions)) {
  contract(
    option,
    () => url,
    (url) => throughPostgresJs(url, options),
  )
}

const reverse = (text: unknown) => (typeof text === 'string' ? [...text].reverse().join('') : text)

const refused: Record<string, [option: string, driver: Driver]> = {
  'a serializer for text': [
    '`types`',
    (url) =>
      throughPostgresJs(url, {
        types: { text: { to: 25, from: [], serialize: reverse, parse: (text: unknown) => text } },
      }),
  ],
  'rows that go': [
    '`transform.row`',
    (url) => throughPostgresJs(url, { fetch_types: false, transform: { row: () => undefined } }),
  ],
  'another encoding': [
    '`client_encoding`',
    (url) => throughPostgresJs(url, { connection: { client_encoding: 'LATIN1' } as never }),
  ],
}

for (const [name, [option, driver]] of Object.entries(refused)) {
  test(`an option that changes texts is rejected by name at the first call, and nothing is written: ${name}`, async () => {
    await isRefused(await server.engine.database(), driver, option)
  })
}
