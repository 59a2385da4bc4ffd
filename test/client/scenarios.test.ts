// All scenarios in Node, through fetch and through axios with both its adapters.

import { describe, type TestContext, test } from 'node:test'
import { createClient, type DaypassClient } from '../../src/client/index.ts'
import { startDaypass } from './daypass-server.ts'
import { type Driver, driveAxios, driveFetch } from './drivers.ts'
import { type RemoteDriver, scenarios, type World } from './scenarios.ts'

const drivers: Record<string, (client: DaypassClient) => Driver> = {
  fetch: driveFetch,
  'axios over http': (client) => driveAxios(client, { adapter: 'http' }),
  'axios over fetch': (client) => driveAxios(client, { adapter: 'fetch' }),
}

async function openWorld(t: TestContext, drive: (client: DaypassClient) => Driver): Promise<World> {
  const server = await startDaypass(t)
  const storage = new Map<string, string>()
  const open = () => {
    const client = createClient({ baseUrl: `${server.url}/auth`, storage })
    return drive(client) as unknown as RemoteDriver
  }
  return {
    server,
    driver: open(),
    restart: async () => open(),
    async setOffline(isOffline) {
      server.setAway(isOffline)
    },
  }
}

describe('all scenarios in Node', { concurrency: true }, () => {
  for (const [name, drive] of Object.entries(drivers)) {
    describe(name, { concurrency: true }, () => {
      for (const [scenario, play] of Object.entries(scenarios)) {
        test(scenario, async (t) => play(await openWorld(t, drive)))
      }
    })
  }
})
