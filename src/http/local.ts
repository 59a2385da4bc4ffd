// Decides whether a request comes from this machine.

/** The value of a header, several of one name joined with commas. */
export type ReadHeader = (name: string) => string | undefined

/** Whether an address is this machine's own. */
export function isLoopback(ip: string | undefined): boolean {
  return ip !== undefined && /^(127\.[\d.]+|::1)$/.test(ip)
}

/** Whether some proxy says that the request came through it. A proxy on this machine speaks for callers elsewhere. */
export function hasForwardingHeader(header: ReadHeader): boolean {
  return forwardingHeaders.some((name) => header(name) !== undefined)
}

const forwardingHeaders = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-server',
  'x-real-ip',
  'forwarded',
  'via',
]

/**
 * The address in a text that somebody wrote: a socket, a proxy, a framework or a caller. Undefined where it is none.
 * Some write the port too (`192.0.2.1:5123`, `[2001:db8::1]:5123`), and sockets that listen for both kinds write IPv4 the
 * IPv6 way.
 */
export function readIp(text = ''): string | undefined {
  const [, bracketed, v4] = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text.trim()) ?? []
  const address = (bracketed ?? v4 ?? text.trim()).replace(/^::ffff:(?=[\d.]+$)/i, '')
  return isIpv4(address) || isIpv6(address) ? address : undefined
}

// Not `isIP` of node:net: the fetch door runs where there is no Node.

function isIpv4(text: string): boolean {
  return /^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(?!$)|$)){4}$/.test(text)
}

/** With the zone that sockets give to addresses of the link (`fe80::1%eth0`). */
function isIpv6(text: string): boolean {
  const [, address] = /^([\da-f:.]{2,45})(?:%[\w.-]{1,32})?$/i.exec(text) ?? []
  return address !== undefined && URL.canParse(`http://[${address}]`)
}
