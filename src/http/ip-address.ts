// Reads IP addresses, and decides whether a request comes from this machine.

/** The value of a header, several of one name joined with commas. */
export type ReadHeader = (name: string) => string | undefined

/** Whether an address is this machine's own. */
export function isLoopback(ip: string | undefined): boolean {
  return ip !== undefined && /^(127\.[\d.]+|::1)$/.test(ip)
}

/** Whether a host, with or without a port, is a name of this machine. */
export const isLocalHost = (host: string): boolean => /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i.test(host)

/** Whether a proxy passed the request on. The callers of a proxy on this machine are elsewhere. */
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
 * The address in a text of a socket, a proxy, a framework or a caller. Undefined where it is none. Some add the port
 * (`192.0.2.1:5123`, `[2001:db8::1]:5123`), and sockets for both kinds write IPv4 as IPv6 (`::ffff:192.0.2.1`).
 */
export function readIp(text = ''): string | undefined {
  // A socket's address, at every request.
  if (isIpv4(text)) return text
  const [, bracketed, v4] = /^(?:\[([^\]]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text.trim()) ?? []
  const address = (bracketed ?? v4 ?? text.trim()).replace(/^::ffff:(?=[\d.]+$)/i, '')
  return isIpv4(address) || isIpv6(address) ? address : undefined
}

// Not `isIP` of node:net: daypass/fetch runs where there is no Node.

function isIpv4(text: string): boolean {
  return /^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.(?!$)|$)){4}$/.test(text)
}

/** With the zone that sockets give to addresses of the link (`fe80::1%eth0`). */
function isIpv6(text: string): boolean {
  const [, address] = /^([\da-f:.]{2,45})(?:%[\w.-]{1,32})?$/i.exec(text) ?? []
  return address !== undefined && URL.canParse(`http://[${address}]`)
}
