// Addresses as sockets, proxies, frameworks and callers write them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasForwardingHeader, isLoopback, readIp } from '../../src/http/ip-address.ts'

test('an address is read with a port, in brackets, with a zone, or as IPv4 in IPv6', () => {
  for (const [text, ip] of [
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.1:5123', '192.0.2.1'],
    [' 192.0.2.1\t', '192.0.2.1'],
    [' 192.0.2.1:1 ', '192.0.2.1'],
    ['2001:db8::1', '2001:db8::1'],
    ['[2001:db8::1]', '2001:db8::1'],
    ['[2001:db8::1]:5123', '2001:db8::1'],
    ['::', '::'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['[::ffff:192.0.2.1]:80', '192.0.2.1'],
    ['::ffff:1:2', '::ffff:1:2'],
    ['1::ffff:1.2.3.4', '1::ffff:1.2.3.4'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['fe80::1%en-0.1_a', 'fe80::1%en-0.1_a'],
    ['2001:DB8::A', '2001:DB8::A'],
  ] as const) {
    assert.equal(readIp(text), ip, text)
  }
})

test('anything else is no address', () => {
  for (const text of [
    undefined,
    '',
    'unknown',
    '192.0.2',
    '192.0.2.256',
    '192.0.2.1.',
    '192.0.2.1.1',
    '192.0.2.01',
    '192.0.2.1:123456',
    'a192.0.2.1',
    '2001:db8::g',
    '2001:db8::1::2',
    ':',
    'a',
    'x2001:db8::1',
    '[2001:db8::1]:',
    '[2001:db8::1]:123456',
    '[2001:db8::1',
    'fe80::1%',
    'fe80::1%eth 0',
    `fe80::1%${'x'.repeat(33)}`,
    '1:2:3:4:5:6:7',
  ]) {
    assert.equal(readIp(text), undefined, text)
  }
})

test('this machine is 127.0.0.0/8 and ::1', () => {
  for (const ip of ['127.0.0.1', '127.255.255.254', '::1']) assert.ok(isLoopback(ip), ip)
  for (const ip of [undefined, '', '128.0.0.1', '1127.0.0.1', '::11', '2001::1', '::1%lo', '127.x']) {
    assert.equal(isLoopback(ip), false, ip)
  }
})

test('any header of a proxy says that the request was passed on', () => {
  const names = [
    ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-server'],
    ...['x-real-ip', 'forwarded', 'via'],
  ]
  for (const name of names)
    assert.ok(
      hasForwardingHeader((asked) => (asked === name ? '' : undefined)),
      name,
    )
  assert.equal(
    hasForwardingHeader((asked) => (names.includes(asked) ? undefined : 'x')),
    false,
  )
})
