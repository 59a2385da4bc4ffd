// Metrics in Prometheus' text format, by prom-client.

import type { DaypassEvent } from 'daypass'
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'

// An object, so that the compiler reports a new event that is missing here.
const none: Record<DaypassEvent['type'], 0> = {
  issued: 0,
  adopted: 0,
  rotated: 0,
  replayed: 0,
  retried: 0,
  superseded: 0,
  updated: 0,
  reused: 0,
  revoked: 0,
  expired: 0,
}

/** The process (memory, processor, event loop lag), the requests, and the events of sessions. */
export function createMetrics() {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const events = new Counter({
    name: 'daypass_events_total',
    help: 'Events of sessions since the start.',
    labelNames: ['type'],
    registers: [registry],
  })
  // A series that begins with its first event hides that event from rate().
  for (const type of Object.keys(none)) events.inc({ type }, 0)
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from a request to its response.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  })
  return {
    countEvent: ({ type }: DaypassEvent) => events.inc({ type }),
    /** `route` is one of a few: each path of a caller would be another label. */
    observe: (request: { method: string; route: string; status: number }, seconds: number) =>
      requests.observe(request, seconds),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  }
}
