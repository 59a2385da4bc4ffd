// Makes one figure out of several, and prints tables.

/** Figures of one thing from several rounds: the median, and how far apart the quartiles are, as a share of it. */
export interface Figure {
  median: number
  spread: number
}

export function figureOf(values: readonly number[]): Figure {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) => {
    const place = (sorted.length - 1) * share
    const below = sorted[Math.floor(place)]!
    return below + (sorted[Math.ceil(place)]! - below) * (place % 1)
  }
  return { median: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5) }
}

/** The ratio of two series, round by round: a slow moment of the machine affects both halves of a ratio. */
export function ratioOf(values: readonly number[], base: readonly number[]): Figure {
  return figureOf(values.map((value, round) => value / base[round]!))
}

/**
 * Measures things side by side: each round measures each of them once, so that other work of the machine affects all
 * alike.
 */
export async function rounds<T>(
  count: number,
  things: Record<string, (round: number) => T | Promise<T>>,
): Promise<Record<string, T[]>> {
  const results: Record<string, T[]> = Object.fromEntries(Object.keys(things).map((name) => [name, []]))
  for (let round = 0; round < count; round++) {
    for (const [name, measure] of Object.entries(things)) results[name]!.push(await measure(round))
  }
  return results
}

/** One target, met or missed. */
export interface Target {
  name: string
  least: number
  figure: number
}

/** Prints an aligned table: these columns to the left, as texts are, and the others to the right. */
export function printTable(title: string, rows: readonly (readonly string[])[], texts: readonly number[] = [0]): void {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => (texts.includes(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd()
  console.log(`\n${title}\n`)
  console.log(line(rows[0]!))
  console.log(widths.map((width) => '-'.repeat(width)).join('  '))
  for (const row of rows.slice(1)) console.log(line(row))
}

export const whole = (value: number) => Math.round(value).toLocaleString('en')
export const fixed = (value: number, digits: number) => (Number.isFinite(value) ? value.toFixed(digits) : '')
export const percent = (value: number) => (Number.isFinite(value) ? `${Math.round(value * 100)} %` : '')
