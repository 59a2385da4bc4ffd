// The story of two tabs: all of their calls need a new token at once, and one request fetches it.

import { callMany } from '../calls.ts'
import { make, makeButton, pause, say } from '../dom.ts'
import { sayNumber } from '../format.ts'
import { countRenewals, watchRenewals } from '../pass.ts'
import { words } from '../words.ts'

/** The counts of one tab in one run. */
interface Count {
  calls: number
  failed: number
  refreshes: number
}

/** The messages between the tabs of this page. */
type Message =
  | { type: 'hello' | 'here' | 'bye'; tab: string }
  | { type: 'go' | 'stop'; tab: string; run: string }
  | { type: 'count'; tab: string; run: string; count: Count }

/** Milliseconds between two rounds of calls, and of a run at the most. */
const between = 200
const longest = 30_000

/** Makes the story. Each tab of this browser answers here, whichever of them asks. */
export function tellTwoTabs(signal: AbortSignal): HTMLElement[] {
  const own = crypto.randomUUID()
  const others = new Set<string>()
  const counts = new Map<string, Count>()
  const channel = new BroadcastChannel('daypass-page')
  const send = (message: Message) => channel.postMessage(message)
  /** The run that this tab takes part in. */
  let running = ''
  let refreshes = 0

  const open = make(
    'a',
    { class: 'button', href: '/', target: '_blank', rel: 'noopener', testid: 'open-tab' },
    words.tabsOpen,
  )
  const start = makeButton({ class: 'primary', testid: 'tabs-start' }, words.tabsStart, lead)
  const state = make('p', { role: 'status', class: 'state', testid: 'tabs-state' })
  const rows = make('tbody', { testid: 'tabs-rows' })
  const headings = [words.tab, words.tabsCalls, words.tabsFailed, words.tabsRefreshes]
  const table = make(
    'table',
    { hidden: true },
    make('thead', {}, make('tr', {}, ...headings.map((name) => make('th', { scope: 'col' }, name)))),
    rows,
  )

  function render(): void {
    start.hidden = others.size === 0
    if (running === '') say(state, others.size === 0 ? words.tabsOne : words.tabsTwo(others.size + 1))
  }

  watchRenewals(signal, () => refreshes++)

  /** Calls until the run is stopped, and says how it went after each round. */
  async function takePart(run: string): Promise<void> {
    running = run
    const count: Count = { calls: 0, failed: 0, refreshes: 0 }
    const before = refreshes
    const end = performance.now() + longest
    while (running === run && !signal.aborted && performance.now() < end) {
      const outcomes = await callMany(10)
      count.calls += outcomes.length
      count.failed += outcomes.filter(({ isGood }) => !isGood).length
      count.refreshes = refreshes - before
      if (signal.aborted) return
      note(own, run, { ...count })
      send({ type: 'count', tab: own, run, count })
      await pause(between)
    }
    running = ''
  }

  /** Begins a run in all tabs, and ends it after the first renewal. */
  async function lead(): Promise<void> {
    counts.clear()
    const run = crypto.randomUUID()
    say(state, words.tabsRunning)
    const renewals = countRenewals()
    send({ type: 'go', tab: own, run })
    const mine = takePart(run)
    const isRenewed = () => countRenewals() > renewals
    while (running === run && !signal.aborted && !isRenewed()) await pause(between)
    // Both tabs call with the new token, too.
    await pause(3 * between)
    send({ type: 'stop', tab: own, run })
    running = ''
    await mine
    if (signal.aborted) return
    await pause(between)
    const { calls, refreshes } = total()
    say(state, words.tabsDone(calls, refreshes))
  }

  const total = () =>
    [...counts.values()].reduce(
      (sum, { calls, failed, refreshes }) => ({
        calls: sum.calls + calls,
        failed: sum.failed + failed,
        refreshes: sum.refreshes + refreshes,
      }),
      { calls: 0, failed: 0, refreshes: 0 },
    )

  let shownRun = ''
  function note(tab: string, run: string, count: Count): void {
    if (run !== shownRun) counts.clear()
    shownRun = run
    counts.set(tab, count)
    table.hidden = false
    const ofTabs = [...counts].map(([tab, count]) => makeRow(tab === own ? words.tabsThis : words.tabsOther, count))
    rows.replaceChildren(...ofTabs, makeRow(words.tabsTogether, total()))
  }

  channel.onmessage = ({ data }: MessageEvent<Message>) => {
    if (data.type === 'bye') others.delete(data.tab)
    else others.add(data.tab)
    if (data.type === 'hello') send({ type: 'here', tab: own })
    if (data.type === 'go') void takePart(data.run)
    if (data.type === 'stop' && data.run === running) running = ''
    if (data.type === 'count') note(data.tab, data.run, data.count)
    render()
  }
  const leave = () => {
    send({ type: 'bye', tab: own })
    channel.close()
  }
  signal.addEventListener('abort', leave)
  addEventListener('pagehide', () => send({ type: 'bye', tab: own }), { signal })
  // From the back/forward cache.
  addEventListener('pageshow', ({ persisted }) => persisted && send({ type: 'hello', tab: own }), { signal })
  send({ type: 'hello', tab: own })
  render()
  return [make('p', {}, words.tabsIntro), state, make('div', { class: 'actions' }, start, open), table]
}

function makeRow(name: string, { calls, failed, refreshes }: Count): HTMLElement {
  return make(
    'tr',
    {},
    make('th', { scope: 'row' }, name),
    ...[calls, failed, refreshes].map((value) => make('td', {}, sayNumber(value))),
  )
}
