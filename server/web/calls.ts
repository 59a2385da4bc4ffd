// Calls to an API, with a log of how each went and of every renewal.

import { isOffline, isSignedOut } from 'daypass/client'
import { make, makeButton, pause, say } from './dom.ts'
import { sayNumber, sayTime } from './format.ts'
import { client, type Renewal, watchRenewals } from './pass.ts'
import { words } from './words.ts'

/** How one call went. */
export interface Outcome {
  isGood: boolean
  /** The HTTP status, or what there was instead of an answer. */
  answer: string
}

const longestLog = 60
const between = 500

/** Makes the panel; "keep calling" stops when `signal` aborts. */
export function makeCalls(signal: AbortSignal): HTMLElement {
  const totals = { answered: 0, failed: 0 }
  const answered = make('strong', { testid: 'answered' }, '0')
  const failed = make('strong', { testid: 'failed' }, '0')
  const rows = make('tbody', { testid: 'log' })
  const empty = make('p', { class: 'empty' }, words.nothingCalled)

  function log(row: HTMLElement): void {
    rows.prepend(row)
    while (rows.rows.length > longestLog) rows.deleteRow(-1)
    empty.hidden = true
  }

  async function call(count: number): Promise<void> {
    const at = Date.now()
    const start = performance.now()
    const outcomes = await callMany(count)
    if (signal.aborted) return
    log(makeCallRow(at, outcomes, performance.now() - start))
    for (const { isGood } of outcomes) totals[isGood ? 'answered' : 'failed']++
    say(answered, sayNumber(totals.answered))
    say(failed, sayNumber(totals.failed))
  }

  const keepCalling = make('input', { type: 'checkbox', role: 'switch', testid: 'keep-calling' })
  let isCalling = false
  keepCalling.addEventListener('change', async () => {
    if (isCalling) return
    isCalling = true
    while (keepCalling.checked && !signal.aborted) await Promise.all([call(10), pause(between)])
    isCalling = false
  })
  watchRenewals(signal, (renewal) => log(makeRenewalRow(renewal)))

  return make(
    'section',
    { class: 'panel calls', 'aria-labelledby': 'calls-title' },
    make('h2', { id: 'calls-title' }, words.calls),
    make(
      'div',
      { class: 'actions' },
      makeButton({ class: 'primary', testid: 'call' }, words.callTheApi, () => call(1)),
      makeButton({ testid: 'call-ten' }, words.tenCalls, () => call(10)),
      make('label', { class: 'switch' }, keepCalling, words.keepCalling),
    ),
    make('p', { class: 'totals' }, answered, ` ${words.answered}, `, failed, ` ${words.failed}`),
    make(
      'div',
      { class: 'log', tabindex: 0, role: 'region', 'aria-label': words.logLabel },
      make(
        'table',
        {},
        make(
          'thead',
          {},
          make(
            'tr',
            {},
            ...[words.time, words.request, words.answer, words.took].map((name) => make('th', { scope: 'col' }, name)),
          ),
        ),
        rows,
      ),
      empty,
    ),
  )
}

/** Calls the API this many times at once. */
export const callMany = (count: number): Promise<Outcome[]> => Promise.all(Array.from({ length: count }, callOnce))

async function callOnce(): Promise<Outcome> {
  try {
    const { ok, status } = await client.fetch('/auth/me')
    return { isGood: ok, answer: String(status) }
  } catch (error) {
    if (isSignedOut(error)) return { isGood: false, answer: words.signedOut }
    return { isGood: false, answer: isOffline(error) ? words.offline : words.noAnswer }
  }
}

function makeCallRow(at: number, outcomes: Outcome[], milliseconds: number): HTMLElement {
  const marks = outcomes.map(({ isGood }) => make('i', { class: isGood ? 'good' : 'bad' }))
  const isGood = outcomes.every((outcome) => outcome.isGood)
  const answers = [...new Set(outcomes.map(({ answer }) => answer))].join(', ')
  const request = [make('span', {}, words.callCount(outcomes.length)), make('span', { class: 'marks' }, ...marks)]
  return makeRow('log-row', at, request, isGood, answers, milliseconds)
}

function makeRenewalRow({ at, status, milliseconds }: Renewal): HTMLElement {
  const answers: Record<number, string> = { 200: words.newToken, 409: words.lostRace, 0: words.noAnswer }
  const request = [make('span', { class: 'tag' }, words.renewal)]
  return makeRow('renewal-row', at, request, status === 200, answers[status] ?? String(status), milliseconds)
}

function makeRow(
  testid: string,
  at: number,
  request: HTMLElement[],
  isGood: boolean,
  answer: string,
  milliseconds: number,
): HTMLElement {
  return make(
    'tr',
    { testid },
    make('td', { class: 'time' }, make('time', { datetime: new Date(at).toISOString() }, sayTime(at))),
    make('td', { class: 'request' }, ...request),
    make('td', { class: isGood ? 'good' : 'bad' }, answer),
    make('td', { class: 'took' }, `${sayNumber(Math.round(milliseconds))} ms`),
  )
}
