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

/** An IPv4 address without the IPv6 way of writing it, as sockets that listen for both give it. */
export function unmap(address: string): string {
  return address.replace(/^::ffff:(?=[\d.]+$)/i, '')
}
