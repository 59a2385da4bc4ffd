// The globals of a tab or program: timers, and in a browser a page, localStorage, Web Locks and BroadcastChannel.

import { type Device, deliver, type Tab, write } from './device.ts'
import type { Loop } from './loop.ts'
import type { Realm } from './realm.ts'
import { site } from './site.ts'

export function createRealm(tab: Tab, loop: Loop): Realm {
  const { device } = tab
  const timers: Realm = {
    // Hints for developers.
    console: { warn() {} },
    clock: loop.now,
    monotonic: device.clock,
    hold: loop.hold,
    // Whole milliseconds, at least one, as on every platform.
    setTimeout: (work, milliseconds = 0) =>
      loop.after(Math.max(1, Math.trunc(milliseconds)) / device.plan.rate, () => deliver(tab, work)),
    clearTimeout(timer) {
      if (timer) timer.work = undefined
    },
  }
  if (device.plan.kind !== 'browser') return timers
  return {
    ...timers,
    // The client asks whether the server can be reached at all, before it prints a hint.
    fetch: () => Promise.reject(new TypeError('fetch failed')),
    document: {
      get hidden() {
        return tab.isHidden
      },
      baseURI: `${site}/`,
    },
    localStorage: createLocalStorage(tab),
    navigator: device.plan.locks ? { locks: createLocks(tab, loop) } : {},
    BroadcastChannel: createChannelClass(tab, loop),
    addEventListener: (type, listener) => device.listeners.push({ tab, type, listener }),
  }
}

function createLocalStorage(tab: Tab): Record<string, string> {
  return new Proxy<Record<string, string>>(
    {},
    {
      get: (_, name) => tab.device.storage.get(String(name)),
      set(_, name, value) {
        if (!tab.isDead) write(tab, String(name), String(value))
        return true
      },
    },
  )
}

/** Lets the next living tab have the Web Lock. A dead tab loses it. */
export function grantLock(device: Device): void {
  device.locks = device.locks.filter(({ tab }) => !tab.isDead)
  device.locks[0]?.begin()
}

function createLocks(tab: Tab, loop: Loop) {
  const { device } = tab
  return {
    request(_name: string, { signal }: { signal: AbortSignal }, work: () => Promise<unknown>): Promise<unknown> {
      if (tab.isDead) return new Promise<never>(() => {})
      return new Promise((resolve, reject) => {
        let isBegun = false
        const leave = () => {
          device.locks = device.locks.filter((each) => each !== turn)
        }
        const turn = {
          tab,
          begin() {
            if (isBegun) return
            isBegun = true
            deliver(tab, () =>
              work()
                .then(resolve, reject)
                .finally(() => {
                  leave()
                  grantLock(device)
                }),
            )
          },
        }
        signal.addEventListener('abort', () => {
          if (isBegun) return
          leave()
          reject(signal.reason)
        })
        device.locks.push(turn)
        loop.after(0, () => grantLock(device))
      })
    },
  }
}

function createChannelClass(tab: Tab, loop: Loop) {
  const { device } = tab
  return class Channel {
    onmessage?: (event: { data: unknown }) => void
    constructor() {
      device.channels.push({ tab, channel: this })
    }
    postMessage(message: unknown) {
      if (tab.isDead) return
      const data = structuredClone(message)
      for (const other of device.channels) {
        if (other.channel !== this) loop.after(2, () => deliver(other.tab, () => other.channel.onmessage?.({ data })))
      }
    }
  }
}
