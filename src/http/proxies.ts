// Finds the caller behind the proxies in front (X-Forwarded-*). Only proxies that are configured are believed.

import { BlockList, isIP } from 'node:net'
import { createWarner, type Warn } from '../core/warn.ts'
import { DaypassError } from '../errors.ts'
import { hasForwardingHeader, isLoopback, type ReadHeader, readIp } from './local.ts'

/** What a request says of its way here. */
export interface Hop {
  ip: string | undefined
  secure: boolean
  host: string
}

/** The browser's side of a request. */
export interface Caller extends Hop {
  /** Whether the caller is on this machine, as its address says and no forwarding header denies. */
  local: boolean
}

/**
 * Finds the browser's side of a request that came through proxies. `framework` is what the app's framework found by a
 * trust setting of its own, undefined where it trusts nobody.
 */
export type Unproxy = (hop: Hop, header: ReadHeader, framework?: () => Hop | undefined) => Caller

/**
 * @param trusted Addresses and networks (`10.0.0.0/8`) of the proxies in front; nobody else is believed. Where it is not
 *   given, the framework's own setting counts.
 * @param warn Told of a forwarding header from an address that is not trusted. Default: the console.
 */
export function createUnproxy(trusted?: readonly string[], warn: Warn = createWarner()): Unproxy {
  const isTrusted = createTrust(trusted ?? [])
  return (hop, header, framework) => {
    if (isTrusted(hop.ip)) return addLocal(readForwarded(hop, header, isTrusted), header, true)
    const known = trusted === undefined ? framework?.() : undefined
    if (known !== undefined) return addLocal(known, header, true)
    const problem = findProblem(hop, header)
    if (problem !== undefined) warn('DAYPASS_PROXY_UNTRUSTED', problem, hop.ip ?? 'a Unix socket')
    return addLocal(hop, header, false)
  }
}

/** What an operator should know of a request that nobody is trusted to have passed on. */
function findProblem(hop: Hop, header: ReadHeader): string | undefined {
  const ignored = findIgnored(hop, header)
  const from = hop.ip ?? 'a Unix socket'
  if (ignored !== undefined) {
    return `A request from ${from} has the header ${ignored}, which is not believed. ${advise(hop.ip)}`
  }
  if (!isRehosted(hop, header)) return undefined
  return `A request from ${from} is of a page of this server by its header sec-fetch-site, and the page has another origin than the Host says: a proxy changes the Host. Let it send X-Forwarded-For, -Proto and -Host. ${advise(hop.ip)}`
}

/** Anybody can send any header, so an address is to be trusted only by whoever knows it. */
function advise(ip: string | undefined): string {
  if (ip === undefined) return '`trustedProxies` takes addresses: let your proxy connect over TCP.'
  return `If this is your proxy, and only then, name it: \`trustedProxies: ['${ip}']\`. If ${ip} is not your proxy's address, somebody made the header up: nothing is to be done.`
}

function createTrust(trusted: readonly string[]): (ip: string | undefined) => boolean {
  const list = new BlockList()
  for (const entry of trusted) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(entry) ?? []
    const family = isIP(address)
    const most = family === 6 ? 128 : 32
    const prefix = bits === undefined ? most : Number(bits)
    if (family === 0 || prefix > most) {
      throw new DaypassError('ERR_OPTION_INVALID', `\`trustedProxies\` takes addresses and networks: ${entry}`)
    }
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return (ip = '') => isIP(ip) !== 0 && list.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
}

/** What a proxy that is trusted says of its caller. */
function readForwarded(hop: Hop, header: ReadHeader, isTrusted: (ip: string | undefined) => boolean): Hop {
  // The nearest that is no proxy of ours: whatever stands before it was written by the caller.
  const chain = (header('x-forwarded-for') ?? '').split(',').map((entry) => readIp(entry))
  const ip = chain.findLast((address) => !isTrusted(address)) ?? hop.ip
  const proto = header('x-forwarded-proto')
  return {
    ip,
    secure: proto === undefined ? hop.secure : last(proto).toLowerCase() === 'https',
    host: last(header('x-forwarded-host') ?? '') || hop.host,
  }
}

/** A caller on this machine whom a proxy let in says nothing of itself unless the proxy passes on its address. */
function addLocal({ ip, secure, host }: Hop, header: ReadHeader, isBelieved: boolean): Caller {
  const isTold = isBelieved && header('x-forwarded-for') !== undefined
  return { ip, secure, host, local: isLoopback(ip) && (isTold || !hasForwardingHeader(header)) }
}

/**
 * The header that would tell another caller than the connection does. Platforms that end the connection themselves
 * (functions on AWS) repeat in it what the connection says already, and need no setting.
 */
function findIgnored(hop: Hop, header: ReadHeader): string | undefined {
  return Object.keys(repeats).find((name) => {
    const value = header(name)
    return value !== undefined && !repeats[name]!(value, hop)
  })
}

/**
 * Whether a browser calls a page same-origin whose origin is not the Host's. nginx does that by default. A development
 * server on this machine does it too, and nothing is lost by it.
 */
function isRehosted({ host }: Hop, header: ReadHeader): boolean {
  if (header('sec-fetch-site') !== 'same-origin') return false
  const origin = header('origin') ?? ''
  return /^https?:\/\/(?!(localhost|127\.0\.0\.1|\[::1\])(:|$))/.test(origin) && !origin.endsWith(`://${host}`)
}

const repeats: Record<string, (value: string, hop: Hop) => boolean> = {
  'x-forwarded-for': (value, { ip }) => ip !== undefined && readIp(last(value)) === ip,
  'x-forwarded-proto': (value, { secure }) => (last(value).toLowerCase() === 'https') === secure,
  'x-forwarded-host': (value, { host }) => last(value) === host,
  'x-real-ip': (value, { ip }) => ip !== undefined && readIp(value) === ip,
  forwarded: () => false,
}

/** The entry that the nearest proxy wrote. */
const last = (value: string) => value.split(',').at(-1)!.trim()
