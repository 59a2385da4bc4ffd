// The end of a life: nothing fails any more, every owner must get in, and every thief whose owner came back must be caught.

import { type Device, type Tab, tokenOf } from './device.ts'
import type { Life, Thief } from './life.ts'
import { refresh } from './owner.ts'
import { goodTokens, noBadLuck, noLockStep } from './properties.ts'
import { runIn } from './realm.ts'
import { site } from './site.ts'
import { mustBeSignedIn, openTab } from './tab.ts'
import { redeem, repeat } from './thief.ts'
import { day, minute, second } from './time.ts'
import { sessionIdOf } from './token.ts'

export async function endLife(life: Life): Promise<void> {
  life.tell('from here on nothing fails any more')
  await stopFaults(life)
  await checkOwners(life)
  await checkThieves(life)
}

/** Ends all faults, and waits until the last device is awake and the longest Retry-After is over. */
async function stopFaults({ loop, database, servers, devices }: Life): Promise<void> {
  database.away.until = database.slowUntil = 0
  database.onWrite = undefined
  for (const server of servers) server.dieBeforeCommit = server.dieAfterCommit = false
  for (const device of devices) {
    device.faults = []
    device.offlineUntil = 0
    for (const tab of device.tabs) if (tab) tab.diesWhen = undefined
  }
  const isWaiting = (waited: number) => waited < 6 * minute || devices.some(({ isAsleep }) => isAsleep)
  for (let waited = 0; waited < day && isWaiting(waited); waited += minute) await loop.run(minute)
}

/** Every owner who must be signed in calls the app in every tab. */
async function checkOwners(life: Life): Promise<void> {
  const { loop, devices, checker } = life
  const calls = devices
    .filter((device) => mustBeSignedIn(life, device))
    .flatMap((device) => Array.from({ length: device.plan.tabs }, (_, number) => checkTab(life, device, number)))
  let isDone = calls.length === 0
  Promise.all(calls).then(() => {
    isDone = true
  })
  for (let waited = 0; waited < 5 * minute && !isDone; waited += second) await loop.run(second)
  if (!isDone) checker.fail(noBadLuck, 'a client that asks in peace hears nothing for five minutes')
}

/** Calls the app in one tab, three times at most: a client that lost a race after a long outage may give up once. */
function checkTab(life: Life, device: Device, number: number): Promise<void> {
  const tab = openTab(life, device, number)
  const again = () => life.loop.sleep(10 * second).then(() => runIn(tab.realm, () => checkCall(life, tab)))
  return runIn(tab.realm, () => checkCall(life, tab))
    .catch(again)
    .catch(again)
    .catch((error) => {
      if (!mustBeSignedIn(life, device)) return
      life.checker.fail(noBadLuck, `${tab.name}, asking in peace, hears ${error.code ?? error}`)
    })
}

async function checkCall(life: Life, { name, client, device }: Tab): Promise<void> {
  // If a tab signed in and died before it informed the others, they do not know of it. They find it when they refresh.
  if (client.getSession().status === 'signed-out') await client.getAccessToken({ forceFresh: true })
  const { status } = await client.fetch(`${site}/me`)
  if (status !== 200 && mustBeSignedIn(life, device)) {
    life.checker.fail(goodTokens, `${name}, asking in peace, hears ${status}`)
  }
}

/** Whether the owner still holds a token of the session that a thief is in, and the session is live. */
function isShared({ loop, database, checker }: Life, { session, device, isDone }: Thief): boolean {
  // The thief was rejected for good: his copy has outlived its secret.
  if (isDone) return false
  const token = tokenOf(device, loop.now())
  const hasToken = !device.isOut && token !== undefined && sessionIdOf(token) === session
  return hasToken && checker.isLive(database.rows.get(session))
}

/** Owner and thief both refresh, until the server has noticed every theft. */
async function checkThieves(life: Life): Promise<void> {
  const { loop, thieves, chance, checker, database, longestInterval } = life
  // A theft shows at the next refresh but one, and each of the two takes four intervals at most.
  const bound = 4 * (longestInterval + 2 * life.plan.largestSkew) + minute
  const step = Math.floor(0.4 * longestInterval)
  const shared = () => thieves.filter((thief) => isShared(life, thief))
  for (let passed = 0; passed < 3 * bound && shared().length > 0 && !checker.broken; passed += 2 * step) {
    for (const thief of shared()) {
      refresh(thief.device.tabs.find((each) => each && !each.isDead) ?? openTab(life, thief.device, 0))
      loop.after(step >> 1, () => repeat(life, thief))
      loop.after(step + (step >> 1), () => {
        // A thief who has received nothing yet has nothing to repeat.
        const redeems = chance.below(3) === 0 || thief.completed === undefined
        return redeems ? redeem(life, thief) : repeat(life, thief)
      })
    }
    await loop.run(2 * step)
  }
  await loop.run(5 * second)
  for (const thief of thieves) {
    if (checker.getSession(thief.session).isCaught) continue
    if (isShared(life, thief)) checker.fail(noLockStep, 'a thief and the owner both go on')
    // An owner who stayed away until the cookie had expired never comes back, and the thief goes on alone.
    else if (checker.isLive(database.rows.get(thief.session))) checker.count('owners who never returned')
    else checker.count('thieves too late')
  }
}
