// In which order do things happen, and what time is it? One queue of events on a clock that nobody else turns.

import { setImmediate as turn } from 'node:timers/promises'

/** What is due at an instant. Cleared, it is nothing any more. */
export interface Due {
  at: number
  order: number
  work: (() => unknown) | undefined
}

/** A clock that jumps from one event to the next; between two events everything that they set off comes to its end. */
export interface Loop {
  /** Milliseconds since the epoch. */
  now(): number
  /** Does `work` after so many milliseconds; what is due at one instant is done in the order it was asked for. */
  after(milliseconds: number, work: () => unknown): Due
  sleep(milliseconds: number): Promise<void>
  /** Lets nothing happen until a promise that waits for something real (a thread that verifies a token) has settled. */
  hold<T>(promise: Promise<T>): Promise<T>
  /** Lets everything happen that is due within so many milliseconds. */
  run(milliseconds: number): Promise<void>
}

export function createLoop(start: number): Loop {
  const heap: Due[] = []
  let now = start
  let order = 0
  let held = 0

  const isBefore = (a: Due, b: Due) => a.at < b.at || (a.at === b.at && a.order < b.order)

  function push(due: Due): void {
    let index = heap.push(due) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(due, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = due
  }

  function pop(): Due {
    const first = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, last)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
    return first
  }

  /** A turn of Node's own loop: by its end every microtask has run, and those that they set off. */
  async function settle(): Promise<void> {
    do await turn()
    while (held > 0)
  }

  const loop: Loop = {
    now: () => now,
    after(milliseconds, work) {
      const due = { at: now + Math.max(0, milliseconds), order: order++, work }
      push(due)
      return due
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
      while (heap.length > 0 && heap[0]!.at <= end) {
        const due = pop()
        if (due.work === undefined) continue
        now = due.at
        due.work()
        await settle()
      }
      now = end
    },
  }
  return loop
}
