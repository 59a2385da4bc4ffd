// Invalid e-mail addresses are rejected before any call of a store: not every engine can store them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isDaypassError } from 'daypass'
import type { AccountStore } from '../../server/src/account-store.ts'
import { type Caller, createAccounts } from '../../server/src/accounts.ts'
import { noLimits } from '../../server/src/limits.ts'

const askNobody = new Proxy({} as AccountStore, {
  get: (_, method) => assert.fail(`the store was asked: ${String(method)}`),
})
const accounts = createAccounts(askNobody, noLimits)
const caller: Caller = { ip: '192.0.2.1', findDevices: () => [] }

const refused: Record<string, string> = {
  'a NUL': 'a\0@b.c',
  'a NUL in the domain': 'a@b\0.c',
  'a NUL at the end': 'a@b.c\0',
  'an escape': 'a\x1B[31m@b.c',
  'a delete': 'a\x7F@b.c',
  'a control character of Latin 1': 'a\x85b@b.c',
  'the first half of a surrogate pair': '\uD83D@b.c',
  'the second half of a surrogate pair': 'a@\uDE00b.c',
  'surrogates in the wrong order': '\uDE00\uD83D@b.c',
  '255 characters': `${'a'.repeat(251)}@b.c`,
  'a blank': 'a b@c.d',
  'two addresses': 'a@b.c,d@e.f',
  nothing: '',
}
for (const [name, email] of Object.entries(refused)) {
  test(`an e-mail address with ${name} is rejected without a call of the store`, async () => {
    for (const call of [accounts.register, accounts.signIn]) {
      await assert.rejects(call({ email, password: 'a long password' }, caller), (error) =>
        isDaypassError(error, 'ERR_REQUEST_INVALID'),
      )
    }
  })
}

test('addresses with letters of any script, emoji and 254 characters reach the store', async () => {
  for (const email of ['zoë@exämple.org', '用户@例子.广告', '😀@b.c', `${'a'.repeat(250)}@b.c`]) {
    await assert.rejects(accounts.signIn({ email, password: 'a long password' }, caller), /the store was asked/, email)
  }
})
