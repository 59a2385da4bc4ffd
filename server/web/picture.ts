// The picture of the first visit: how tokens renew, and a response that is lost on the way.

import { draw } from './dom.ts'
import { words } from './words.ts'

const left = 52
const right = 308
const center = (left + right) / 2

/** Draws the picture. It is 360 units wide, so that its letters stay readable on a phone. */
export function drawPicture(): SVGSVGElement {
  const { picture } = words
  return draw(
    'svg',
    { class: 'picture', viewBox: '0 0 360 430', role: 'img', 'aria-label': picture.label },
    drawLane(left, picture.browser),
    drawLane(right, picture.server),
    drawPass(58, 84, [picture.access, picture.accessMore, picture.accessEnd]),
    drawArrow(166, 'out', [coin(1), `${picture.trade}: ${picture.once}`]),
    drawArrow(196, 'back', [coin(2), picture.both]),
    drawPass(208, 40, []),
    drawArrow(272, 'out', [coin(2), picture.trade]),
    drawArrow(302, 'lost', [coin(3), picture.lost]),
    drawArrow(336, 'out', [coin(2), picture.again]),
    drawArrow(366, 'back', [coin(3), picture.same]),
    drawPass(378, 40, [picture.still]),
  )
}

function drawLane(x: number, name: string): SVGElement {
  return draw(
    'g',
    {},
    draw('path', { class: 'lane', d: `M${x} 34V424` }),
    draw('rect', { class: 'head', x: x - 42, y: 6, width: 84, height: 28, rx: 6 }),
    draw('text', { class: 'head-text', x, y: 25, 'text-anchor': 'middle' }, name),
  )
}

/** An access token: a strip that burns down, with lines of text beside it. */
function drawPass(y: number, height: number, lines: string[]): SVGElement {
  const first = lines.length === 1 ? y + height / 2 + 5 : y + 26
  return draw(
    'g',
    { class: lines.length === 1 ? 'good' : '' },
    draw('rect', { class: 'burnt', x: left - 9, y, width: 18, height, rx: 4 }),
    draw('rect', { class: 'pass', x: left - 9, y, width: 18, height: height * 0.66, rx: 4 }),
    ...lines.map((line, index) =>
      draw('text', { x: left + 24, y: first + index * 18, class: index === 0 ? 'strong' : 'soft' }, line),
    ),
  )
}

type Coin = { number: number }
const coin = (number: number): Coin => ({ number })

/** A request, its answer, or an answer that does not arrive. */
function drawArrow(y: number, kind: 'out' | 'back' | 'lost', [{ number }, text]: [Coin, string]): SVGElement {
  const isOut = kind === 'out'
  const from = isOut ? left + 12 : right - 4
  const to = isOut ? right - 4 : kind === 'lost' ? center + 26 : left + 12
  const tip = isOut ? `M${to} ${y}l-9-5v10z` : `M${to} ${y}l9-5v10z`
  const cross = `M${to - 12} ${y - 6}l12 12m0-12l-12 12`
  const tones = { out: '', back: 'good', lost: 'bad' }
  const at = kind === 'lost' ? to + 34 : left + 44
  return draw(
    'g',
    { class: tones[kind] },
    draw('path', { class: 'line', d: `M${from} ${y}H${to}` }),
    kind === 'lost' ? draw('path', { class: 'line', d: cross }) : draw('path', { class: 'tip', d: tip }),
    draw('circle', { class: 'coin', cx: at, cy: y, r: 11 }),
    draw('text', { class: 'coin-text', x: at, y: y + 4.5, 'text-anchor': 'middle' }, String(number)),
    kind === 'lost'
      ? draw('text', { x: to - 20, y: y + 5, 'text-anchor': 'end' }, text)
      : draw('text', { class: 'over', x: at + 17, y: y - 7 }, text),
  )
}
