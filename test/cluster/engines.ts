// The engines of the cluster tests, and the fault of each.

import type { Cluster } from 'ioredis'
import { startPostgres } from '../engines/postgres.ts'
import { startRedisCluster } from '../engines/redis.ts'

export interface ClusterEngine {
  /** A name for the output. */
  name: string
  /** The value of DAYPASS_STORE. */
  store: string
  disturb?: () => Promise<void>
  remove(): Promise<void>
}

export const clusterEngines = {
  async postgres(): Promise<ClusterEngine> {
    const engine = await startPostgres()
    const { remove, version } = engine
    return { name: `PostgreSQL ${version}`, store: await engine.database(), remove }
  },
  /** Three masters with a replica each. One of the masters is killed −9 and stays down. */
  async redis(): Promise<ClusterEngine> {
    const { url, version, admin, servers, remove } = await startRedisCluster()
    async function disturb(): Promise<void> {
      const [master] = (admin as Cluster).nodes('master')
      await servers.find(({ port }) => port === master!.options.port)!.kill()
    }
    return { name: `Redis Cluster ${version}, whose master dies`, store: url, disturb, remove }
  },
}
