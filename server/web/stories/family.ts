// Draws the family of a session's refresh tokens: one row a generation, under its holder.

import { draw } from '../dom.ts'
import { words } from '../words.ts'

/** The two who use tokens of one session. */
export type Party = 'phone' | 'thief'

/** The family so far. */
export interface Family {
  /** The party that each generation was given to; the one before the copy belongs to the phone. */
  givenTo: Party[]
  /** The generation that each party holds; absent for none. */
  holds: Partial<Record<Party, number>>
  /** The generation that was presented a second time, and by whom. */
  collision?: { generation: number; by: Party }
}

const rowHeight = 54
const columns = { phone: 84, thief: 276 }

/** Draws it. Colours are never alone: each holder and each end has a word. */
export function drawFamily({ givenTo, holds, collision }: Family): SVGSVGElement {
  const isCopied = holds.thief !== undefined
  /** Whether both hold a token: this one, or any. */
  const isShared = (generation = holds.phone) => holds.phone === generation && holds.thief === generation
  const y = (generation: number) => 64 + generation * rowHeight
  /** A token that both hold stands between them. */
  const x = (generation: number) => (isShared(generation) ? 180 : columns[givenTo[generation] ?? 'phone'])
  const isUsed = (generation: number) => generation < givenTo.length - 1
  const height = y(givenTo.length - 1) + (collision ? 72 : 40)
  const parties: Party[] = isCopied || collision ? ['phone', 'thief'] : ['phone']

  return draw(
    'svg',
    { class: 'picture family', viewBox: `0 0 360 ${height}`, role: 'img', 'aria-label': describe() },
    ...parties.map((party) =>
      draw(
        'g',
        { class: party },
        draw('path', { class: 'lane', d: `M${columns[party]} 34V${height - 6}` }),
        draw('rect', { class: 'head', x: columns[party] - 48, y: 6, width: 96, height: 28, rx: 6 }),
        draw('text', { class: 'head-text', x: columns[party], y: 25, 'text-anchor': 'middle' }, words[party]),
      ),
    ),
    ...givenTo.slice(1).map((_, index) => drawLink(index)),
    ...givenTo.map((_, generation) => drawToken(generation)),
    ...(collision ? [drawCollision(collision)] : isShared() ? [drawHolder('phone')] : parties.map(drawHolder)),
  )

  function drawLink(from: number): SVGElement {
    const [x1, y1, x2, y2] = [x(from), y(from) + 13, x(from + 1), y(from + 1) - 15]
    const bend = (y1 + y2) / 2
    return draw('path', { class: 'line', d: `M${x1} ${y1}C${x1} ${bend} ${x2} ${bend} ${x2} ${y2}` })
  }

  function drawToken(generation: number): SVGElement {
    const [cx, cy] = [x(generation), y(generation)]
    return draw(
      'g',
      { class: `token ${isUsed(generation) ? 'used' : ''}`, testid: `token-${generation}` },
      draw('circle', { class: 'coin', cx, cy, r: 13 }),
      draw('text', { class: 'coin-text', x: cx, y: cy + 4.5, 'text-anchor': 'middle' }, String(generation)),
    )
  }

  /** The word beside the newest token of each party. */
  function drawHolder(party: Party): SVGElement {
    const generation = holds[party] ?? 0
    const [cx, cy] = [x(generation), y(generation)]
    const side = cx < 180 ? -1 : 1
    const attributes = { class: 'holder-text', x: cx + side * 20, y: cy + 4, 'text-anchor': side > 0 ? 'start' : 'end' }
    return draw('text', attributes, isShared() ? words.familyBothHold : words.familyHolds)
  }

  function drawCollision({ generation, by }: { generation: number; by: Party }): SVGElement {
    const [cx, cy] = [x(generation), y(generation)]
    const bottom = height - 22
    const out = parties.map((party) =>
      draw('text', { x: columns[party], y: bottom + 5, 'text-anchor': 'middle' }, `✕ ${words.familyOut}`),
    )
    const side = cx > 180 ? -1 : 1
    return draw(
      'g',
      { class: 'bad collision', testid: 'collision' },
      draw('circle', { class: 'line ring', cx, cy, r: 19 }),
      draw(
        'text',
        { x: cx + side * 26, y: cy + 5, 'text-anchor': side > 0 ? 'start' : 'end' },
        `${words[by]}: ${words.familyUsedTwice}`,
      ),
      ...out,
    )
  }

  function describe(): string {
    const holding = parties.map((party) => `${words[party]}: ${words.familyToken(holds[party] ?? 0)}`)
    const end = collision ? [`${words.familyToken(collision.generation)} ${words.familyUsedTwice}`] : []
    return [words.familyLabel, ...holding, ...end].join('. ')
  }
}
