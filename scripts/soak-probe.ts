// Loaded into the server with `node --import`: sends the soak its memory and event-loop delay over the process channel.

import { monitorEventLoopDelay } from 'node:perf_hooks'

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()

process.on('message', () => {
  const milliseconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - 5)
  const [p50, p99, most] = [delay.percentile(50), delay.percentile(99), delay.max].map(milliseconds)
  // Collect garbage first: only what stays after it can be a leak.
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  process.send?.({
    rss,
    heapUsed,
    cpu: (user + system) / 1000,
    handles: process.getActiveResourcesInfo().length,
    p50,
    p99,
    most,
  })
  // The collection is the soak's own delay, not the server's.
  delay.reset()
})
// The channel must not keep the server alive.
process.channel?.unref()
