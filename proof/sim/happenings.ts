// Carries out the happenings of the plan.

import { at } from '../at.ts'
import { failOver } from './database.ts'
import { type Device, dispatchEvent } from './device.ts'
import type { Life } from './life.ts'
import { insist, signOut, signOutElsewhere, useTab } from './owner.ts'
import type { Happening } from './plan.ts'
import { deploy, rotateSecret } from './server.ts'
import { steal } from './thief.ts'
import { formatDuration } from './time.ts'

export function carryOut(life: Life, happening: Happening): unknown {
  if ('device' in happening) return carryOutOnDevice(life, at(life.devices, happening.device), happening)
  const { loop, database, checker, tell } = life
  switch (happening.what) {
    case 'store away': {
      database.away = { until: loop.now() + happening.for, how: happening.how }
      const detail = happening.how === 'after' ? ', but does what it is told' : ''
      tell(`the store is away for ${formatDuration(happening.for)}${detail}`)
      return
    }
    case 'store slow':
      database.slowUntil = loop.now() + happening.for
      checker.countFault('the store is slow')
      tell(`the store is slow for ${formatDuration(happening.for)}`)
      return
    case 'failover':
      database.onWrite = () => loop.after(happening.lag, () => failOverStore(life, happening.lag))
      return
    case 'deploy':
      return deploy(life, happening.pause, happening.change)
    case 'rotate secret':
      return rotateSecret(life, happening.pause, happening.dropAfter)
    case 'restart': {
      const server = at(life.servers, happening.server)
      if (happening.when === 'now') server.die()
      else if (happening.when === 'before a commit') server.dieBeforeCommit = true
      else server.dieAfterCommit = true
      return
    }
    case 'clock set':
      at(life.hosts, happening.server).clock = { offset: happening.to, since: loop.now() }
      // A server that follows the store's clock compares the clocks when it starts, and now and then.
      if (life.plan.storeHasClock) at(life.servers, happening.server).die()
      checker.countFault("a server's clock is set")
      tell(`the clock of server ${happening.server + 1} is set ${happening.to} ms off`)
  }
}

function carryOutOnDevice(life: Life, device: Device, happening: Happening & { device: number }): unknown {
  switch (happening.what) {
    case 'use':
      return useTab(life, device, happening.tab)
    case 'sign out':
      return signOut(life, device, happening.tab)
    case 'sign out elsewhere':
      return signOutElsewhere(life, device, happening.tab)
    case 'insist':
      return insist(life, device, happening.tab)
    case 'theft':
      return steal(life, device, happening)
    case 'net':
      return device.faults.push(happening)
    case 'die': {
      const tab = device.tabs[happening.tab]
      if (!tab || tab.isDead) return
      if (happening.when === 'now') tab.die()
      else tab.diesWhen = happening.when
      return
    }
    case 'sleep':
      return sleep(life, device, happening.for)
    case 'offline':
      return goOffline(life, device, happening.for)
  }
}

async function failOverStore({ database, checker, tell }: Life, lag: number): Promise<void> {
  const lost = await failOver(database, lag)
  checker.countFault('the store fails over')
  for (const id of lost) {
    const known = checker.findSession(id)
    if (known) known.lostWrites++
    checker.countFault('the store loses a write')
  }
  tell(`the store fails over and loses ${lost.length} writes`)
}

function sleep({ loop, checker, tell }: Life, device: Device, milliseconds: number): void {
  if (device.isAsleep) return
  checker.countFault('a machine sleeps')
  tell(`the ${device.plan.name} sleeps for ${formatDuration(milliseconds)}`)
  const since = loop.now()
  device.isAsleep = true
  loop.after(milliseconds, () => {
    tell(`the ${device.plan.name} wakes up`)
    device.isAsleep = false
    device.slept += loop.now() - since
    for (const work of device.onWake.splice(0)) work()
    dispatchEvent(device, loop, 'focus')
  })
}

function goOffline({ loop, tell }: Life, device: Device, milliseconds: number): void {
  device.offlineUntil = loop.now() + milliseconds
  tell(`the ${device.plan.name} is offline for ${formatDuration(milliseconds)}`)
  loop.after(milliseconds, () => dispatchEvent(device, loop, 'online'))
}
