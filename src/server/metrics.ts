// How many of what happened? Prometheus' text format.

import type { DaypassEvent } from '../core/events.ts'

/** Counts events; says them at `/metrics`. */
export function createMetrics() {
  const counts: Record<DaypassEvent['type'], number> = {
    issued: 0,
    adopted: 0,
    rotated: 0,
    replayed: 0,
    retried: 0,
    superseded: 0,
    reused: 0,
    revoked: 0,
    expired: 0,
  }
  return {
    count(event: DaypassEvent): void {
      counts[event.type]++
    },
    text(): string {
      const lines = Object.entries(counts).map(([type, count]) => `daypass_events_total{type="${type}"} ${count}`)
      return [
        '# HELP daypass_events_total Events of sessions since the start.',
        '# TYPE daypass_events_total counter',
        ...lines,
        '',
      ].join('\n')
    },
  }
}
