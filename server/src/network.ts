// Finds the network that an address belongs to, for limits by address.

import { isIPv6 } from 'node:net'

/**
 * An IPv4 address as it is, or the /64 of an IPv6 address: one subscriber has all of it. Every spelling of an address
 * gives the same text.
 */
export function networkOf(ip: string): string {
  const [address = ''] = ip.split('%', 1)
  if (!isIPv6(address)) return address
  // The URL parser writes an address in one way: lower case, no leading zeros, `::` for the longest run of zeros.
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const groups = (text: string) => text.split(':').filter(Boolean)
  const before = groups(head)
  const after = groups(tail ?? '')
  const all = [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after]
  // An IPv4 address, as a socket that listens for both gives it (::ffff:192.0.2.1).
  if (all.slice(0, 6).join(':') === '0:0:0:0:0:ffff') {
    return all.slice(6).flatMap(toBytes).join('.')
  }
  return `${all.slice(0, 4).join(':')}::/64`
}

const toBytes = (group: string) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]
