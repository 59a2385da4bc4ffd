// The owner: signs in and out, uses the app, and asks again and again.

import { type Device, dispatchEvent, isBusy, type Tab } from './device.ts'
import type { Life } from './life.ts'
import { runIn } from './realm.ts'
import { site } from './site.ts'
import { openTab, runsCommands } from './tab.ts'

/** Calls the app, after a sign-in if the owner is not signed in. */
export async function useTab(life: Life, device: Device, number: number): Promise<void> {
  if (device.isAsleep || isBusy(device)) return
  const tab = openTab(life, device, number)
  for (const other of device.tabs) if (other && !other.isDead) other.isHidden = other !== tab
  dispatchEvent(device, life.loop, 'visibilitychange')
  const isSignedOut = device.isOut || tab.client.getSession().status === 'signed-out'
  const isCommand = runsCommands(life, device)
  // During a sign-in, and while a command runs, the owner does nothing else on that device.
  if (isSignedOut || isCommand) device.busy = tab
  if (isSignedOut) await signIn(life, tab)
  else await callApp(life, tab)
  if (isSignedOut || isCommand) device.busy = undefined
  // A command ends when it has its response, even if something is still under way.
  if (isCommand) tab.isDead = true
}

async function signIn({ tell }: Life, tab: Tab): Promise<void> {
  const { device, client } = tab
  tell(`${tab.name}: the owner signs in`)
  await runIn(tab.realm, () => client.signIn({ name: 'ada' })).then(
    () => {
      // The owner has not seen what a dead tab received.
      if (tab.isDead) return
      device.isOut = false
      device.session = client.getSession().session?.id
      tell(`${tab.name} is signed in`)
    },
    () => tell(`${tab.name}: that failed`),
  )
}

async function callApp({ tell }: Life, tab: Tab): Promise<void> {
  tell(`${tab.name}: the owner does something`)
  await runIn(tab.realm, () => tab.client.fetch(`${site}/me`)).then(
    (response) => tell(`${tab.name} gets ${response.status}`),
    (error) => tell(`${tab.name} fails: ${error.code ?? error.name}`),
  )
}

/** Refreshes more than once an interval, for longer than four intervals. */
export async function insist(life: Life, device: Device, number: number): Promise<void> {
  if (device.isAsleep || isBusy(device) || device.isOut) return
  const { loop, longestInterval } = life
  const tab = openTab(life, device, number)
  life.tell(`${tab.name}: the owner asks again and again`)
  const { session } = device
  const until = loop.now() + 6 * (longestInterval + 2 * life.plan.largestSkew)
  while (loop.now() < until && !tab.isDead && !device.isOut && device.session === session) {
    refresh(tab)
    await loop.sleep(0.6 * longestInterval)
  }
}

/** Refreshes; a failure is the client's to handle. */
export function refresh(tab: Tab): void {
  runIn(tab.realm, () => tab.client.getAccessToken({ forceFresh: true })).catch(() => {})
}

export async function signOut(life: Life, device: Device, number: number): Promise<void> {
  if (device.isAsleep || isBusy(device) || device.isOut) return
  const tab = openTab(life, device, number)
  device.busy = tab
  device.isOut = true
  life.tell(`${tab.name}: the owner signs out`)
  await runIn(tab.realm, () => tab.client.signOut()).catch(() => life.tell(`${tab.name}: the server could not be told`))
  device.busy = undefined
}

export async function signOutElsewhere(life: Life, device: Device, number: number): Promise<void> {
  if (device.isAsleep || isBusy(device) || device.isOut) return
  const tab = openTab(life, device, number)
  life.tell(`${tab.name}: the owner signs out everywhere else`)
  for (const other of life.devices) if (other !== device) other.isOut = true
  await runIn(tab.realm, () => tab.client.fetch(`${site}/auth/sessions`, { method: 'DELETE' })).catch(() => {})
}
