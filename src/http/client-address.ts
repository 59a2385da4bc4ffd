// Finds the client behind the proxies in front (X-Forwarded-*). Headers count only if they come from a trusted proxy.

import { BlockList, isIP } from 'node:net'
import { checkList, wrongOption } from '../option.ts'
import { createWarner, type Warn } from '../warn.ts'
import { hasForwardingHeader, isLocalHost, isLoopback, type ReadHeader, readIp } from './ip-address.ts'

/** The other side of a connection, and the Host that it asked for. */
export interface Connection {
  ip: string | undefined
  secure: boolean
  host: string
}

/** The browser's side of a request. */
export interface Client extends Connection {
  /** Whether the client is on this machine: its address says so, and no forwarding header denies it. */
  local: boolean
}

/**
 * Finds the client of a request that may have come through proxies. `framework` returns what the app's framework found by
 * its own setting of trusted proxies, or undefined where it trusts none.
 */
export type FindClient = (
  connection: Connection,
  header: ReadHeader,
  framework?: () => Connection | undefined,
) => Client

/**
 * @param trusted Addresses and networks (`10.0.0.0/8`) of the proxies in front. Others are not trusted. Where it is not
 *   given, the framework's own setting counts.
 * @param warn Receives a warning for a forwarding header from an address that is not trusted. Default: the console.
 */
export function createClientFinder(trusted?: readonly string[], warn: Warn = createWarner()): FindClient {
  const isTrusted = createTrust(trusted ?? [])
  return (connection, header, framework) => {
    if (isTrusted(connection.ip)) return addLocal(readForwarded(connection, header, isTrusted), header, true)
    const known = trusted === undefined ? framework?.() : undefined
    if (known !== undefined) return addLocal(known, header, true)
    const problem = findProblem(connection, header)
    if (problem !== undefined) warn('DAYPASS_PROXY_UNTRUSTED', problem, connection.ip ?? 'a Unix socket')
    return addLocal(connection, header, false)
  }
}

/** The warning for a request that no trusted proxy passed on; undefined where there is none. */
function findProblem(connection: Connection, header: ReadHeader): string | undefined {
  const ignored = findIgnored(connection, header)
  const from = connection.ip ?? 'a Unix socket'
  if (ignored !== undefined) {
    return `A request from ${from} has the header ${ignored}, which is not believed. ${advise(connection.ip)}`
  }
  if (!isRehosted(connection, header)) return undefined
  return `A request from ${from} is of a page of this server by its header sec-fetch-site, and the page has another origin than the Host says: a proxy changes the Host. Let it send X-Forwarded-For, -Proto and -Host. ${advise(connection.ip)}`
}

/** Anybody can send any header, so only an operator who knows an address should trust it. */
function advise(ip: string | undefined): string {
  if (ip === undefined) return '`trustedProxies` takes addresses: let your proxy connect over TCP.'
  return `If this is your proxy, and only then, name it: \`trustedProxies: ['${ip}']\`. If ${ip} is not your proxy's address, somebody made the header up: nothing is to be done.`
}

function createTrust(trusted: readonly string[]): (ip: string | undefined) => boolean {
  const addresses = "the addresses and networks of your proxies, such as ['10.0.0.0/8']."
  checkList('trustedProxies', trusted, addresses)
  if (trusted.length === 0) return () => false
  const list = new BlockList()
  for (const entry of trusted) {
    const [, address = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(String(entry)) ?? []
    const family = isIP(address)
    const most = family === 6 ? 128 : 32
    const prefix = bits === undefined ? most : Number(bits)
    if (family === 0 || prefix > most) {
      throw wrongOption('trustedProxies', entry, `Give ${addresses}`)
    }
    list.addSubnet(address, prefix, family === 6 ? 'ipv6' : 'ipv4')
  }
  return (ip = '') => isIP(ip) !== 0 && list.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
}

/** The client as a trusted proxy describes it. */
function readForwarded(
  connection: Connection,
  header: ReadHeader,
  isTrusted: (ip: string | undefined) => boolean,
): Connection {
  // The nearest address that is no trusted proxy. The client may have written all that stands before it.
  const chain = (header('x-forwarded-for') ?? '').split(',').map((entry) => readIp(entry))
  const ip = chain.findLast((address) => !isTrusted(address)) ?? connection.ip
  const proto = header('x-forwarded-proto')
  return {
    ip,
    secure: proto === undefined ? connection.secure : last(proto).toLowerCase() === 'https',
    host: last(header('x-forwarded-host') ?? '') || connection.host,
  }
}

/** Adds whether the client is on this machine. A proxy on this machine is not the client, unless it says so itself. */
function addLocal({ ip, secure, host }: Connection, header: ReadHeader, isTrusted: boolean): Client {
  const isForwarded = isTrusted && header('x-forwarded-for') !== undefined
  return { ip, secure, host, local: isLoopback(ip) && (isForwarded || !hasForwardingHeader(header)) }
}

/**
 * The header that says something else than the connection does. Platforms that end the connection themselves (functions
 * on AWS) repeat in it what the connection says already, and need no setting.
 */
function findIgnored(connection: Connection, header: ReadHeader): string | undefined {
  const differing = forwarded.find(([name, repeats]) => {
    const value = header(name)
    return value !== undefined && !repeats(value, connection)
  })
  return differing?.[0]
}

/**
 * Whether a browser calls a page same-origin whose origin is not the Host's. nginx causes that by default. A development
 * server on this machine causes it too, which does no harm.
 */
function isRehosted({ host }: Connection, header: ReadHeader): boolean {
  if (header('sec-fetch-site') !== 'same-origin') return false
  const origin = header('origin') ?? ''
  const [, page] = /^https?:\/\/(.*)$/.exec(origin) ?? []
  return page !== undefined && !isLocalHost(page) && page !== host
}

/** Forwarding headers, each with a test whether its value repeats what the connection says. */
const forwarded: readonly (readonly [name: string, repeats: (value: string, connection: Connection) => boolean])[] = [
  ['x-forwarded-for', (value, { ip }) => ip !== undefined && readIp(last(value)) === ip],
  ['x-forwarded-proto', (value, { secure }) => (last(value).toLowerCase() === 'https') === secure],
  ['x-forwarded-host', (value, { host }) => last(value) === host],
  ['x-real-ip', (value, { ip }) => ip !== undefined && readIp(value) === ip],
  ['forwarded', () => false],
]

/** The entry that the nearest proxy wrote. */
const last = (value: string) => value.slice(value.lastIndexOf(',') + 1).trim()
