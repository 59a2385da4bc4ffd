// Calls to an API, with a log of how each went.

import { isOffline, isSignedOut } from 'daypass/client'
import { make, makeButton, say } from './dom.ts'
import { client, countRenewals } from './pass.ts'
import { sayTime } from './words.ts'

/** How one call went. */
interface Outcome {
  isGood: boolean
  /** The HTTP status, or what there was instead of an answer. */
  answer: string
}

const longestLog = 60
const pause = 500

/** Makes the panel; "keep calling" stops when `signal` aborts. */
export function makeCalls(signal: AbortSignal): HTMLElement {
  const totals = { answered: 0, failed: 0 }
  const answered = make('strong', { testid: 'answered' }, '0')
  const failed = make('strong', { testid: 'failed' }, '0')
  const rows = make('tbody', { testid: 'log' })
  const empty = make('p', { class: 'empty' }, 'Nothing called yet.')

  async function call(count: number): Promise<void> {
    const at = Date.now()
    const start = performance.now()
    const renewalsBefore = countRenewals()
    const outcomes = await Promise.all(Array.from({ length: count }, callOnce))
    if (signal.aborted) return
    const row = makeRow(at, outcomes, performance.now() - start, countRenewals() > renewalsBefore)
    rows.prepend(row)
    while (rows.rows.length > longestLog) rows.deleteRow(-1)
    empty.hidden = true
    for (const { isGood } of outcomes) totals[isGood ? 'answered' : 'failed']++
    say(answered, totals.answered.toLocaleString('en'))
    say(failed, totals.failed.toLocaleString('en'))
  }

  const keepCalling = make('input', { type: 'checkbox', role: 'switch', testid: 'keep-calling' })
  let isCalling = false
  keepCalling.addEventListener('change', async () => {
    if (isCalling) return
    isCalling = true
    while (keepCalling.checked && !signal.aborted) {
      await Promise.all([call(10), new Promise((resolve) => setTimeout(resolve, pause))])
    }
    isCalling = false
  })

  return make(
    'section',
    { class: 'panel calls', 'aria-labelledby': 'calls-title' },
    make('div', { class: 'heading' }, make('h2', { id: 'calls-title' }, 'Calls')),
    make(
      'div',
      { class: 'actions' },
      makeButton({ class: 'primary', testid: 'call' }, 'Call the API', () => call(1)),
      makeButton({ testid: 'call-ten' }, 'Ten calls at once', () => call(10)),
      make('label', { class: 'switch' }, keepCalling, 'Keep calling'),
    ),
    make('p', { class: 'totals' }, answered, ' answered, ', failed, ' failed'),
    make(
      'div',
      { class: 'log', tabindex: 0, role: 'region', 'aria-label': 'Log of calls' },
      empty,
      make(
        'table',
        {},
        make(
          'thead',
          { class: 'for-ears' },
          make(
            'tr',
            {},
            ...['Time', 'Calls', 'Answer', 'Took', 'Renewal'].map((name) => make('th', { scope: 'col' }, name)),
          ),
        ),
        rows,
      ),
    ),
  )
}

async function callOnce(): Promise<Outcome> {
  try {
    const { ok, status } = await client.fetch('/auth/me')
    return { isGood: ok, answer: String(status) }
  } catch (error) {
    if (isSignedOut(error)) return { isGood: false, answer: 'signed out' }
    return { isGood: false, answer: isOffline(error) ? 'offline' : 'no answer' }
  }
}

function makeRow(at: number, outcomes: Outcome[], milliseconds: number, isRenewed: boolean): HTMLElement {
  const answers = [...new Set(outcomes.map(({ answer }) => answer))].join(', ')
  const marks = outcomes.map(({ isGood }) => make('i', { class: isGood ? 'good' : 'bad' }))
  const howMany = make('span', { class: 'for-ears' }, String(outcomes.length))
  return make(
    'tr',
    { testid: 'log-row' },
    make('td', { class: 'time' }, make('time', {}, sayTime(at))),
    make('td', { class: 'marks' }, howMany, ...marks),
    make('td', { class: outcomes.every(({ isGood }) => isGood) ? 'good' : 'bad' }, answers),
    make('td', { class: 'took' }, `${Math.round(milliseconds)} ms`),
    make('td', { class: 'renewal' }, ...(isRenewed ? [make('span', {}, 'renewed')] : [])),
  )
}
