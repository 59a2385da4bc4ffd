// A tab or program with its client: how it opens, what it may show, and whether its owner must be signed in.

import { createClient } from '../../src/client/client.ts'
import { createRealm, grantLock } from './browser.ts'
import { type Client, type Device, isBusy, type Tab, write } from './device.ts'
import { createKeylessClient } from './keyless-client.ts'
import type { Life } from './life.ts'
import { send } from './network.ts'
import { randomFor } from './plan.ts'
import { noBadLuck } from './properties.ts'
import { type Realm, runIn } from './realm.ts'
import { site } from './site.ts'

/** Whether a device runs commands: each does one thing and ends. */
export const runsCommands = ({ plan }: Life, device: Device): boolean => device.plan.kind === 'shell' && !plan.atOnce

/** The living tab of that number, or a new one. */
export function openTab(life: Life, device: Device, number: number): Tab {
  const old = device.tabs[number]
  if (old && !old.isDead) return old
  const { loop, checker, tell } = life
  const { plan } = device
  const name = plan.tabs > 1 ? `${plan.name}, ${plan.kind === 'browser' ? 'tab' : 'program'} ${number + 1}` : plan.name
  const tab: Tab = {
    name,
    device,
    get realm() {
      return realm
    },
    get client() {
      return client
    },
    isDead: false,
    isHidden: false,
    diesWhen: undefined,
    die() {
      if (tab.isDead) return
      checker.countFault('a tab or program crashes')
      tell(`${name} dies`)
      tab.isDead = true
      if (plan.kind === 'browser') loop.after(0, () => grantLock(device))
    },
  }
  const realm: Realm = createRealm(tab, loop)
  device.tabs[number] = tab
  tell(`${name} opens`)
  const client: Client = runIn(realm, () => createTabClient(life, tab))
  if (!runsCommands(life, device)) runIn(realm, () => client.subscribe(() => checkSnapshot(life, tab)))
  return tab
}

function createTabClient(life: Life, tab: Tab): Client {
  const { kind } = tab.device.plan
  const storage = createStorage(life, tab)
  const options = {
    baseUrl: `${site}/auth`,
    fetch: (...[input, init]: Parameters<typeof fetch>) => send(life, tab, input, init),
    clock: tab.device.clock,
  }
  if (kind === 'keyless') {
    const sleep = (milliseconds: number) =>
      new Promise<void>((resolve) => void tab.realm.setTimeout(resolve, milliseconds))
    return createKeylessClient({ ...options, storage, sleep })
  }
  return createClient({
    ...options,
    random: randomFor(life.plan.seed, 100 + life.clientsMade++).bytes,
    ...(kind !== 'browser' && { storage }),
  })
}

/** The storage of a program. */
function createStorage({ loop, chance, sabotage }: Life, tab: Tab) {
  return {
    async get(name: string): Promise<string | undefined> {
      await loop.sleep(1 + chance.below(2))
      return tab.isDead ? new Promise<never>(() => {}) : tab.device.storage.get(name)
    },
    async set(name: string, value: string): Promise<void> {
      await loop.sleep(1 + chance.below(2))
      if (!write(tab, name, sabotage.memory?.(value) ?? value) || tab.isDead) await new Promise(() => {})
    },
  }
}

/** Checks what a client shows: it must not call a session over that is not. */
function checkSnapshot(life: Life, tab: Tab): void {
  if (tab.isDead) return
  const { database, checker, tell } = life
  const { device } = tab
  const { status, session, reason } = tab.client.getSession()
  if (status === 'signed-in') {
    // A tab may not know yet of a newer sign-in in another tab.
    const current = device.session ? database.rows.get(device.session) : undefined
    const isOlder = session && current && session.createdAt < current.createdAt
    if (session && checker.isLive(database.rows.get(session.id)) && !isOlder) device.session = session.id
  } else if (status === 'signed-out') {
    if (mustBeSignedIn(life, device)) {
      checker.fail(noBadLuck, `${tab.name} is signed out (${reason}), and its session goes on`)
    }
    tell(`${tab.name} is signed out (${reason})`)
  }
}

/** Whether the owner must be signed in on that device: they have a session and nothing has ended it. */
export function mustBeSignedIn({ loop, database, checker }: Life, device: Device): boolean {
  if (device.isOut || isBusy(device) || device.session === undefined) return false
  // The idle time of a cookie counts from when it was set, if no newer one arrived.
  if (device.cookie && device.cookie.until <= loop.now()) return false
  const { thefts, endedAt } = checker.getSession(device.session)
  // When a theft is detected, both the thief and the owner are signed out.
  return thefts === 0 && endedAt > loop.now() && checker.isLive(database.rows.get(device.session))
}
