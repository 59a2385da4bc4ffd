// Whose word do we take for where a request came from? (X-Forwarded-*, only from configured proxies.)

import { BlockList, isIP } from 'node:net'
import { DaypassError } from '../core/errors.ts'

/** What a request says of its way here. */
export interface Hop {
  ip: string | undefined
  secure: boolean
  host: string
}

/** Finds the browser's side of a request that came through proxies. */
export type Unproxy = (hop: Hop, header: (name: string) => string | undefined) => Hop

/** `trusted` are addresses and networks (`10.0.0.0/8`) of the proxies in front; from anyone else nothing is believed. */
export function createUnproxy(trusted: readonly string[] = []): Unproxy {
  if (trusted.length === 0) return (hop) => hop
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
  const isTrusted = (ip: string) => isIP(ip) !== 0 && list.check(ip, isIP(ip) === 6 ? 'ipv6' : 'ipv4')
  return (hop, header) => {
    if (hop.ip === undefined || !isTrusted(hop.ip)) return hop
    // The nearest that is no proxy of ours: whatever stands before it was written by the caller.
    const chain = (header('x-forwarded-for') ?? '').split(',').map(readAddress)
    const nearest = chain.findLast((address) => !isTrusted(address)) ?? ''
    const ip = isIP(nearest) === 0 ? hop.ip : nearest
    const last = (name: string) => header(name)?.split(',').at(-1)?.trim()
    const proto = last('x-forwarded-proto')?.toLowerCase()
    return {
      ip,
      secure: proto === undefined ? hop.secure : proto === 'https',
      host: last('x-forwarded-host') || hop.host,
    }
  }
}

/** Some proxies write the port too (`192.0.2.1:5123`, `[2001:db8::1]:5123`), and IPv4 the IPv6 way. */
function readAddress(entry: string): string {
  const text = entry.trim()
  const [, bracketed, v4] = /^(?:\[([^\]]+)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  return unmap(bracketed ?? v4 ?? text)
}

/** An IPv4 address without the IPv6 way of writing it, as sockets that listen for both give it. */
export function unmap(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '')
}
