// The servers: real ones, each on a host with a clock of its own. They crash, start again, and are deployed.

import { createFetchAuth } from '../../src/adapters/fetch.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import { isDaypassError } from '../../src/errors.ts'
import { at } from '../at.ts'
import { connect } from './database.ts'
import type { Host, Life, Server } from './life.ts'
import type { Settings } from './plan.ts'
import { noBadLuck } from './properties.ts'
import { type Realm, runIn } from './realm.ts'
import { site } from './site.ts'
import { second } from './time.ts'

/** How far a host's clock is off now, in milliseconds. Its drift ends at the largest skew, where an operator corrects it. */
function offsetOf({ loop, plan }: Life, host: Host): number {
  const { offset, since } = host.clock
  const off = offset + (host.plan.drift * (loop.now() - since)) / second
  return Math.round(Math.max(-plan.largestSkew, Math.min(plan.largestSkew, off)))
}

export function startServer(life: Life, host: Host): Server {
  const { plan, loop, checker, database, sabotage, tell } = life
  const { settings } = host
  const name = `server ${host.number + 1}`
  const state = {
    isDead: false,
    dieBeforeCommit: false,
    dieAfterCommit: false,
    die() {
      if (state.isDead) return
      state.isDead = true
      checker.countFault('a server crashes')
      tell(`${name} crashes`)
      loop.after(500 + life.chance.below(3000), () => {
        life.servers[host.number] = startServer(life, host)
        tell(`${name} is up again`)
      })
    },
  }
  const clock = () => loop.now() + offsetOf(life, host)
  const realm: Realm = {
    setTimeout: (work, milliseconds = 0) => loop.after(milliseconds, work),
    clearTimeout(timer) {
      if (timer) timer.work = undefined
    },
    clock,
    // It stands still, so a server with a store that has a clock believes that its own clock was set, and compares anew.
    monotonic: () => 0,
    hold: loop.hold,
    // Warnings for the operator.
    console: { warn: (text: string) => tell(`  ${name} warns: ${text}`) },
  }
  const store = connect(database, state)
  const auth = runIn(realm, () =>
    createDaypass({
      secret: settings.secrets.map((secret) => `${secret}, not secret at all: 0123456789abcdefghijklmnopqrstuvwxyz`),
      issuer: site,
      store: sabotage.store?.(store, loop) ?? store,
      ...(!plan.storeHasClock && { clock }),
      random: life.serverRandom.bytes,
      algorithm: plan.algorithm,
      accessTokenLifetime: settings.accessTokenLifetime,
      idleTimeout: settings.idleTimeout,
      absoluteTimeout: plan.absoluteTimeout,
      reuseInterval: settings.reuseInterval,
      // Longer than the life: a client without keys may send its token again at any time.
      retryInterval: (plan.days + 1) * 86_400,
      onEvent(event) {
        if (state.isDead) return
        checker.onEvent(event)
        const detail = event.type === 'revoked' ? ` (${event.reason})` : `, generation ${event.generation}`
        tell(`  ${name}: ${event.type}${detail}`)
      },
    }),
  )
  const web = createFetchAuth(auth, {
    authenticate: () => ({ subject: 'ada' }),
    onError(error) {
      if (isDaypassError(error) && error.code.startsWith('ERR_STORE_')) return
      checker.fail(noBadLuck, `a server fails: ${error}`)
    },
  })
  return Object.assign(state, { host, realm, web })
}

/** Restarts one server after another with other settings. */
export async function deploy(life: Life, pause: number, change: Partial<Settings>): Promise<void> {
  life.checker.countFault('other settings are deployed')
  for (const host of life.hosts) {
    host.settings = { ...host.settings, ...change }
    life.tell(`server ${host.number + 1} is set up with ${JSON.stringify(change)}`)
    at(life.servers, host.number).die()
    await life.loop.sleep(pause)
  }
}

/** Every server knows the new secret before one signs with it, and the old one stays as long as a token of it is good. */
export async function rotateSecret(life: Life, pause: number, dropAfter: number): Promise<void> {
  await deploy(life, pause, { secrets: ['old', 'new'] })
  await deploy(life, pause, { secrets: ['new', 'old'] })
  await life.loop.sleep(dropAfter)
  await deploy(life, pause, { secrets: ['new'] })
}
