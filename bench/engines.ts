// Starts the engines that this machine has, as the tests start them, and says which it lacks.

import { newClient, noMongo, startMongo } from '../test/engines/mongodb.ts'
import { startPostgres } from '../test/engines/postgres.ts'
import { givenRedis, redisMissing, startRedis } from '../test/engines/redis.ts'
import type { ServerSettings } from './settings.ts'

export interface Engine {
  /** With its version and the driver. */
  name: string
  /** A new database in it, as the settings of a server name it. A Redis has one. */
  database(): Promise<Pick<ServerSettings, 'store' | 'database'>>
  remove(): Promise<void>
}

const kinds = {
  async PostgreSQL() {
    const { version, database, remove } = await startPostgres()
    return { name: `PostgreSQL ${version}, pg`, database: async () => ({ store: await database() }), remove }
  },
  async Redis() {
    const given = process.env.REDIS_URL
    if (redisMissing && !given) throw new Error(redisMissing)
    const { url, version, remove } = await (given ? givenRedis(given) : startRedis())
    const name = `Redis ${version}${given ? '' : ', AOF always'}, ioredis`
    return { name, database: async () => ({ store: url }), remove }
  },
  async MongoDB() {
    if (noMongo) throw new Error(noMongo)
    const { url, name, database, remove } = await startMongo()
    const made: string[] = []
    return {
      name: name.replace(/ \(.*/, ''),
      async database() {
        made.push(database())
        return { store: url, database: made.at(-1)! }
      },
      async remove() {
        const client = newClient(url)
        for (const each of made) await client.db(each).dropDatabase()
        await client.close()
        await remove()
      },
    }
  },
} satisfies Record<string, () => Promise<Engine>>

/** Starts these engines, or those of them that are there. */
export async function startEngines(...wanted: (keyof typeof kinds)[]): Promise<Engine[]> {
  const engines: Engine[] = []
  for (const kind of wanted) {
    try {
      engines.push(await kinds[kind]())
    } catch (error) {
      console.log(`${kind}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return engines
}
