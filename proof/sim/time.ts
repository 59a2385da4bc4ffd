// Units of time in milliseconds, and how a story prints instants and durations.

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

/** When every simulated life begins. */
export const startOfLife = Date.UTC(2026, 0, 1)

/** `day 1 05:06:09.092` */
export function formatInstant(at: number): string {
  return `day ${Math.floor((at - startOfLife) / day) + 1} ${new Date(at).toISOString().slice(11, 23)}`
}

/** `20 s`, `1.5 h`, `30 days` */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < second) return `${milliseconds} ms`
  if (milliseconds < minute) return `${Math.round(milliseconds / second)} s`
  if (milliseconds < hour) return `${Math.round(milliseconds / minute)} min`
  if (milliseconds < 2 * day) return `${(milliseconds / hour).toFixed(1).replace('.0', '')} h`
  return `${Math.round(milliseconds / day)} days`
}
