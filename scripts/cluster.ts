// Kills servers at random and counts lost sessions: several servers on one engine, behind a round-robin proxy.
//
// `npm run cluster -- --seconds 60 --clients 50 --engine redis`. Servers are killed with SIGKILL and restarted all the time.
// Half-way a master of the Redis Cluster dies for good.

import { parseArgs } from 'node:util'
import { clusterEngines } from '../test/cluster/engines.ts'
import { runScenario } from '../test/cluster/scenario.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '30' },
    clients: { type: 'string', default: '40' },
    servers: { type: 'string', default: '3' },
    engine: { type: 'string' },
  },
})
const [seconds, clients, servers] = [Number(values.seconds), Number(values.clients), Number(values.servers)]

for (const [name, start] of Object.entries(clusterEngines)) {
  if (values.engine !== undefined && values.engine !== name) continue
  const engine = await start()
  console.log(`\n${servers} servers on ${engine.name}; ${clients} clients, ${seconds} s`)
  try {
    const { store, disturb } = engine
    const result = await runScenario({
      store,
      disturb,
      servers,
      clients,
      seconds,
      say: (line) => console.log(`  ${line}`),
    })
    const { refreshes, retries, kills, signedOut } = result
    console.log(
      `${refreshes} refreshes, ${retries} sent again, ${kills} servers killed: ${signedOut.length} signed out`,
    )
    if (signedOut.length > 0) process.exitCode = 1
  } finally {
    await engine.remove()
  }
}
