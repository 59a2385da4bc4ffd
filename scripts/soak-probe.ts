// How does a server feel inside? Loaded before it (`node --import`), it answers the soak over the process channel.

import { monitorEventLoopDelay } from 'node:perf_hooks'

const delay = monitorEventLoopDelay({ resolution: 5 })
delay.enable()

process.on('message', () => {
  const milliseconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - 5)
  const [p50, p99, most] = [delay.percentile(50), delay.percentile(99), delay.max].map(milliseconds)
  // What is not garbage: a heap that was not swept says nothing of leaks.
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  const { user, system } = process.cpuUsage()
  process.send!({
    rss,
    heapUsed,
    cpu: (user + system) / 1000,
    handles: process.getActiveResourcesInfo().length,
    p50,
    p99,
    most,
  })
  // The sweep was ours, not the server's.
  delay.reset()
})
// The server ends when it wants to, whoever listens.
process.channel?.unref()
