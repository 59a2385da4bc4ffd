// A MongoDB for tests: the one that `MONGODB_URL` names, or SecantusDB as scripts/install-mongodb-engine.sh installs it.

import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoClient } from 'mongodb'
import { createMongoStore } from '../../src/stores/mongodb.ts'
import type { Store, StoreHarness } from '../../src/testing/index.ts'
import { startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'

export interface MongoEngine {
  url: string
  /** The name and version of the server, for the output. */
  name: string
  /** Whether the tests may stop and start it. */
  own: boolean
  /** The name of a new database. */
  database(): string
  stop(): Promise<void>
  start(): Promise<void>
  /** Freezes the server, with all requests that were sent to it, until it is thawed. */
  freeze(): void
  thaw(): void
  remove(): Promise<void>
}

const root = join(import.meta.dirname, '../..')
const program = globSync('.cache/secantusdb-*/bin/secantusd-py', { cwd: root })[0]

/** The reason why there is no server, or undefined if there is one. In CI a missing server is a failure. */
export const noMongo: string | undefined =
  process.env.MONGODB_URL || program || process.env.CI
    ? undefined
    : 'not run: no MongoDB server (set MONGODB_URL, or install one for the tests: scripts/install-mongodb-engine.sh)'

export async function startMongo(): Promise<MongoEngine> {
  let databases = 0
  const database = () => `daypass_${process.pid}_${databases++}`
  const given = process.env.MONGODB_URL
  if (given) {
    const nothing = async () => {}
    const never = () => {
      throw new Error('the server of MONGODB_URL is not ours')
    }
    const name = `MongoDB ${await versionOf(given)}`
    return {
      url: given,
      name,
      own: false,
      database,
      stop: nothing,
      start: nothing,
      freeze: never,
      thaw: never,
      remove: nothing,
    }
  }
  if (program === undefined) throw new Error('There is no MongoDB server: run scripts/install-mongodb-engine.sh')
  const path = join(root, program)
  const folder = mkdtempSync(join(tmpdir(), 'daypass-mongodb-'))
  const port = await freePort()
  const url = `mongodb://127.0.0.1:${port}/?directConnection=true`
  const flags = ['--host', '127.0.0.1', '--port', String(port), '--storage-path', folder, '--cache-size', '256M']
  const isUp = async () => (await versionOf(url)) !== ''
  const { start, stop, freeze, thaw } = await startEngine(path, [...flags, '--log-level', 'ERROR'], isUp)
  const version = /secantusdb-([^/]+)/.exec(program)![1]
  return {
    url,
    name: `SecantusDB ${version} (MongoDB ${await versionOf(url)} protocol, WiredTiger)`,
    own: true,
    database,
    stop,
    start,
    freeze,
    thaw,
    async remove() {
      await stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A client as an app would make it, but with short timeouts. */
export function newClient(url: string, options: object = {}): MongoClient {
  return new MongoClient(url, { serverSelectionTimeoutMS: 2000, ...options })
}

async function versionOf(url: string): Promise<string> {
  const client = newClient(url, { serverSelectionTimeoutMS: 500 })
  try {
    return (await client.db('admin').command({ buildInfo: 1 })).version
  } finally {
    await client.close()
  }
}

/** A store that closes its own client, for the processes of the crash kit. */
export function openMongoStore(url: string, database: string): Store {
  const client = newClient(url)
  const store = createMongoStore(client.db(database))
  return {
    ...store,
    async close() {
      await store.close()
      await client.close()
    },
  }
}

/** One way to open a store in a new database, and to close it. */
export interface MongoSource {
  open(database: string): { store: Store; end(): Promise<void> }
}

/** The engine for the store contract, with one way to open a store. */
export function mongoHarness(engine: MongoEngine, source: MongoSource): StoreHarness {
  const opened = new Map<Store, { database: string; end(): Promise<void> }>()
  return {
    async open() {
      const database = engine.database()
      const { store, end } = source.open(database)
      opened.set(store, { database, end })
      return store
    },
    async rawRows(store) {
      const client = newClient(engine.url)
      const collection = client.db(opened.get(store)!.database).collection('daypass_session')
      const rows = await collection.find({}, { promoteBuffers: true }).toArray()
      await client.close()
      return rows.flatMap((row) => Object.values(row)).map((value) => (Buffer.isBuffer(value) ? value : String(value)))
    },
    async cleanup() {
      const client = newClient(engine.url)
      for (const { database, end } of opened.values()) {
        await end()
        await client.db(database).dropDatabase()
      }
      opened.clear()
      await client.close()
    },
  }
}
