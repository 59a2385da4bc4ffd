// The simulated clock: one queue of timers that advances time from one timer to the next.

import { setImmediate as turn } from 'node:timers/promises'

/** Work that is due at an instant. A cleared timer has no work. */
export interface Timer {
  at: number
  order: number
  work: (() => unknown) | undefined
}

/** Between two timers, everything that the first one started runs to its end. */
export interface Loop {
  /** Milliseconds since the epoch. */
  now(): number
  /** Runs `work` after so many milliseconds. Timers that are due at the same instant run in the order they were set. */
  after(milliseconds: number, work: () => unknown): Timer
  sleep(milliseconds: number): Promise<void>
  /** Stops simulated time until a promise settles that waits for a real thread, such as the verification of a token. */
  hold<T>(promise: Promise<T>): Promise<T>
  /** Runs every timer that is due within so many milliseconds. */
  run(milliseconds: number): Promise<void>
}

export function createLoop(start: number): Loop {
  const queue = createQueue()
  let now = start
  let order = 0
  let held = 0

  /** Waits until all microtasks have run, and those that they queued; and for the work of real threads. */
  async function settle(): Promise<void> {
    await new Promise<void>((resolve) => process.nextTick(resolve))
    while (held > 0) await turn()
  }

  const loop: Loop = {
    now: () => now,
    after(milliseconds, work) {
      const timer = { at: now + Math.max(0, milliseconds), order: order++, work }
      queue.push(timer)
      return timer
    },
    sleep: (milliseconds) => new Promise((resolve) => loop.after(milliseconds, resolve)),
    async hold(promise) {
      held++
      try {
        return await promise
      } finally {
        held--
      }
    },
    async run(milliseconds) {
      const end = now + milliseconds
      await settle()
      for (let timer = queue.popUntil(end); timer; timer = queue.popUntil(end)) {
        if (timer.work === undefined) continue
        now = timer.at
        timer.work()
        await settle()
      }
      now = end
    },
  }
  return loop
}

const isBefore = (a: Timer, b: Timer) => a.at < b.at || (a.at === b.at && a.order < b.order)

/** A binary heap: the earliest timer is first. */
function createQueue() {
  const heap: Timer[] = []

  function push(timer: Timer): void {
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parentIndex = (index - 1) >> 1
      const parent = heap[parentIndex]
      if (parent === undefined || !isBefore(timer, parent)) break
      heap[index] = parent
      index = parentIndex
    }
    heap[index] = timer
  }

  /** Moves a timer from the top down to its place. */
  function sink(timer: Timer): void {
    let index = 0
    for (;;) {
      let childIndex = 2 * index + 1
      let child = heap[childIndex]
      if (child === undefined) break
      const right = heap[childIndex + 1]
      if (right !== undefined && isBefore(right, child)) {
        child = right
        childIndex++
      }
      if (!isBefore(child, timer)) break
      heap[index] = child
      index = childIndex
    }
    heap[index] = timer
  }

  /** Removes the earliest timer, if it is due by `end`. */
  function popUntil(end: number): Timer | undefined {
    const first = heap[0]
    if (first === undefined || first.at > end) return undefined
    const last = heap.pop()
    if (last !== undefined && last !== first) sink(last)
    return first
  }

  return { push, popUntil }
}
