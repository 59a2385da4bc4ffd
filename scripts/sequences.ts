// `npm run sequences`: draws docs/sequences/*.svg, the sequences of docs/how-it-works.md and of the console.
//
// `npm run sequences -- --check` fails where a drawing is not up to date.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Black for the course of things, green for a session that lives, red for one that ends. */
type Tone = 'good' | 'bad'
type Step =
  /** A message from one lane to another; `lost` ones do not arrive. */
  | { from: number; to: number; text: string[]; lost?: boolean; tone?: Tone }
  /** Something that happens at one lane. */
  | { at: number; note: string[]; tone?: Tone }
  /** Time that passes. */
  | { later: string }

interface Sequence {
  title: string
  /** The drawing in words, for readers who do not see it. */
  description: string
  lanes: string[]
  steps: Step[]
}

export const sequences: Record<string, Sequence> = {
  'lost-response': {
    title: 'A lost response',
    description:
      'The page refreshes with token 3 and key k1. The server stores generation 4 and answers with token 4, but the response is lost. Later the page sends the same request again, with token 3 and key k1. The server finds the key of its last rotation, writes nothing, and answers with the same token 4. The person is still signed in.',
    lanes: ['Page', 'Server'],
    steps: [
      { from: 0, to: 1, text: ['refresh: token 3, key k1'] },
      { at: 1, note: ['row: generation', '3 → 4, key k1'] },
      { from: 1, to: 0, text: ['200, token 4'], lost: true },
      { later: 'a minute or a day later' },
      { from: 0, to: 1, text: ['the same again: token 3, key k1'] },
      { at: 1, note: ['the last key again:', 'nothing is written'] },
      { from: 1, to: 0, text: ['200, the same token 4'], tone: 'good' },
      { at: 0, note: ['still signed in'], tone: 'good' },
    ],
  },
  race: {
    title: 'Two tabs refresh at once',
    description:
      'Tab 1 and tab 2 refresh with token 3 at the same time. The server redeems it for tab 1, which gets token 4. Tab 2 gets 409 and no token, and nothing is written. Tab 2 reads the newest token, refreshes with token 4, and gets token 5. Both are signed in.',
    lanes: ['Tab 1', 'Server', 'Tab 2'],
    steps: [
      { from: 0, to: 1, text: ['refresh: token 3'] },
      { from: 2, to: 1, text: ['refresh: token 3'] },
      { at: 1, note: ['the first one: generation 3 → 4', 'the second one lost a race'] },
      { from: 1, to: 0, text: ['200, token 4'], tone: 'good' },
      { from: 1, to: 2, text: ['409, no token'] },
      { at: 2, note: ['reads the newest', 'token: token 4'] },
      { from: 2, to: 1, text: ['refresh: token 4'] },
      { from: 1, to: 2, text: ['200, token 5'], tone: 'good' },
      { at: 1, note: ['both tabs are still signed in'], tone: 'good' },
    ],
  },
  theft: {
    title: 'A thief refreshes first',
    description:
      'A thief copies token 3 of the owner, refreshes with it, and gets token 4. More than 30 seconds later the owner refreshes with token 3. Two people have had the same token, so the server ends the session, answers invalid_grant, and emits the event reused. The refresh of the thief with token 4 gets invalid_grant too.',
    lanes: ['Owner', 'Server', 'Thief'],
    steps: [
      { at: 2, note: ['copies token 3'] },
      { from: 2, to: 1, text: ['refresh: token 3'] },
      { from: 1, to: 2, text: ['200, token 4'] },
      { later: 'at the owner’s next refresh, 30 seconds later or more' },
      { from: 0, to: 1, text: ['refresh: token 3'] },
      { at: 1, note: ['token 3 was used twice:', 'session ended, event “reused”'], tone: 'bad' },
      { from: 1, to: 0, text: ['401 invalid_grant'], tone: 'bad' },
      { from: 2, to: 1, text: ['refresh: token 4'] },
      { from: 1, to: 2, text: ['401 invalid_grant'], tone: 'bad' },
      { at: 1, note: ['access tokens: rejected too,', 'within a second'] },
    ],
  },
  'theft-owner-first': {
    title: 'The owner refreshes first',
    description:
      'A thief copies token 3 of the owner. The owner refreshes with token 3 and gets token 4. More than 30 seconds later the thief refreshes with token 3. The server takes it for a copy, ends the session, answers invalid_grant, and emits the event reused. The next refresh of the owner gets invalid_grant too, and the person signs in again.',
    lanes: ['Owner', 'Server', 'Thief'],
    steps: [
      { at: 2, note: ['copies token 3'] },
      { from: 0, to: 1, text: ['refresh: token 3'] },
      { from: 1, to: 0, text: ['200, token 4'] },
      { later: '30 seconds later or more' },
      { from: 2, to: 1, text: ['refresh: token 3'] },
      { at: 1, note: ['token 3 was used twice:', 'session ended, event “reused”'], tone: 'bad' },
      { from: 1, to: 2, text: ['401 invalid_grant'], tone: 'bad' },
      { from: 0, to: 1, text: ['refresh: token 4'] },
      { from: 1, to: 0, text: ['401 invalid_grant'], tone: 'bad' },
      { at: 0, note: ['signs in again'] },
    ],
  },
}

const width = 480
const line = 18
const top = 62
/** Colours of the console (server/web/style.css), in light and in dark. */
const style = `
.card{fill:#fffefb;stroke:#e2ddd1}.lane{stroke:#d0cabb;stroke-dasharray:2 5}.head{fill:#ffcf33}.head-text{fill:#241d05;font-weight:700}
.line{stroke:#1d1b16}.tip{fill:#1d1b16}.text{fill:#1d1b16}.note{fill:#f5f3ee;stroke:#e2ddd1}.soft{fill:#68635a;stroke:#fffefb;stroke-width:6px;paint-order:stroke}.later{stroke:#e2ddd1}
.good .line{stroke:#1b7a4b}.good .tip,.good .text{fill:#1b7a4b}.good .note{stroke:#1b7a4b}
.bad .line{stroke:#b3261e}.bad .tip,.bad .text{fill:#b3261e}.bad .note{stroke:#b3261e}
@media(prefers-color-scheme:dark){
.card{fill:#1d1c18;stroke:#35322b}.lane{stroke:#4a463d}.head{fill:#f7c948}
.line{stroke:#f1ede2}.tip{fill:#f1ede2}.text{fill:#f1ede2}.note{fill:#141310;stroke:#35322b}.soft{fill:#a8a294;stroke:#1d1c18}.later{stroke:#35322b}
.good .line{stroke:#62cb95}.good .tip,.good .text{fill:#62cb95}.good .note{stroke:#62cb95}
.bad .line{stroke:#ff8f85}.bad .tip,.bad .text{fill:#ff8f85}.bad .note{stroke:#ff8f85}}
`.trim()

/** The drawing of a sequence, as the text of an SVG file. */
export function drawSequence({ title, description, lanes, steps }: Sequence): string {
  const margin = lanes.length === 2 ? 92 : 72
  const xOf = (lane: number) => margin + (lane * (width - 2 * margin)) / (lanes.length - 1)
  let y = top
  const drawn = steps.map((step) => {
    if ('later' in step) {
      y += 44
      return `<path class="later" d="M16 ${y - 5}H${width - 16}"/>${drawText(width / 2, y, [step.later], 'soft')}`
    }
    if ('note' in step) {
      const height = step.note.length * line + 12
      y += 14 + height
      const half = Math.max(...step.note.map((text) => text.length)) * 3.9 + 12
      const x = Math.min(Math.max(xOf(step.at), half + 10), width - half - 10)
      const box = `<rect class="note" x="${round(x - half)}" y="${y - height}" width="${round(2 * half)}" height="${height}" rx="6"/>`
      return group(step.tone, box + drawText(x, y - height + 19, step.note, 'text'))
    }
    y += 22 + step.text.length * line
    const [from, to] = [xOf(step.from), xOf(step.to)]
    const way = Math.sign(to - from)
    const end = step.lost ? from + (to - from) * 0.62 : to - way
    const label = drawText((from + to) / 2, y - 9 - (step.text.length - 1) * line, step.text, 'text')
    const arrow = `<path class="line" d="M${from} ${y}H${round(end - way * 8)}"/>`
    const tip = step.lost
      ? `<path class="line" d="M${round(end - 6)} ${y - 6}l12 12m0-12l-12 12"/>${drawText(end + way * 14, y + 5, ['lost'], 'text', way < 0 ? 'end' : 'start')}`
      : `<path class="tip" d="M${end} ${y}l${-way * 10}-5v10z"/>`
    return group(step.lost ? 'bad' : step.tone, arrow + tip + (step.lost ? label.replace('"text', '"soft') : label))
  })
  const height = y + 26
  const heads = lanes.map((name, lane) => {
    const x = xOf(lane)
    return `<path class="lane" d="M${x} 48V${height - 14}"/><rect class="head" x="${x - 46}" y="18" width="92" height="30" rx="6"/>${drawText(x, 38, [name], 'head-text')}`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description" font-family="system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif" font-size="14" fill="none" stroke-width="1.5">
<title id="title">${title}</title>
<desc id="description">${description}</desc>
<style>
${style}
</style>
<rect class="card" x=".75" y=".75" width="${width - 1.5}" height="${height - 1.5}" rx="12"/>
${heads.join('\n')}
${drawn.join('\n')}
</svg>
`
}

const group = (tone: Tone | undefined, content: string) => `<g${tone ? ` class="${tone}"` : ''}>${content}</g>`
const round = (value: number) => Math.round(value * 10) / 10

function drawText(x: number, y: number, lines: string[], name: string, where = 'middle'): string {
  return lines
    .map(
      (text, index) =>
        `<text class="${name}" x="${round(x)}" y="${y + index * line}" text-anchor="${where}">${text}</text>`,
    )
    .join('')
}

if (import.meta.main) {
  const folder = join(import.meta.dirname, '../docs/sequences')
  const isCheck = process.argv.includes('--check')
  mkdirSync(folder, { recursive: true })
  for (const [name, sequence] of Object.entries(sequences)) {
    const path = join(folder, `${name}.svg`)
    const after = drawSequence(sequence)
    const before = existsSync(path) ? readFileSync(path, 'utf8') : ''
    if (before === after) continue
    if (!isCheck) writeFileSync(path, after)
    else process.exitCode = 1
    console.log(`docs/sequences/${name}.svg ${isCheck ? 'is not up to date: run `npm run sequences`' : 'was written'}.`)
  }
}
