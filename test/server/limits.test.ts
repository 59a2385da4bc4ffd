// Limits on tries reveal nothing to strangers, and do not keep the owner out.

import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, type TestContext, test } from 'node:test'
import { DaypassError } from 'daypass'
import { type Accounts, type Caller, createAccounts } from '../../server/src/accounts.ts'
import { createDevices } from '../../server/src/devices.ts'
import { createLimits } from '../../server/src/limits.ts'
import { networkOf } from '../../server/src/network.ts'
import { hashPassword } from '../../server/src/password.ts'
import { openStores } from '../../server/src/stores.ts'
import { post, type ServerProcess, startServerProcess } from './process.ts'

const password = 'correct horse battery'

async function open(t: TestContext) {
  const stores = await openStores('memory:')
  t.after(() => stores.close())
  const accounts = createAccounts(stores.accounts, createLimits(stores.createLimiter))
  const passwordHash = await hashPassword(password)
  const addAccount = async (email: string) => {
    const account = { id: randomUUID(), email, passwordHash, createdAt: 0 }
    await stores.accounts.create(account)
    return account
  }
  return { accounts, addAccount }
}

const from = (ip: string, device?: string): Caller => ({
  ip,
  findDevices: () => (device === undefined ? [] : [{ id: device, knew: () => true }]),
})

/** The outcome of a try: `in`, `wrong`, or the error's code. */
async function outcome(attempt: Promise<object | null>): Promise<string> {
  return attempt.then(
    (account) => (account === null ? 'wrong' : 'in'),
    ({ code }) => code,
  )
}

const signIn = (accounts: Accounts, email: string, secret: string, caller: Caller) =>
  outcome(accounts.signIn({ email, password: secret }, caller))
const register = (accounts: Accounts, email: string, caller: Caller) =>
  outcome(accounts.register({ email, password: 'a password of nobody' }, caller))
const limited = 'ERR_RATE_LIMITED'

describe('a limit that is reached does not reveal which addresses are taken', () => {
  const before: Record<string, (accounts: Accounts) => Promise<void>> = {
    async 'registrations of free addresses'(accounts) {
      for (let n = 0; n < 20; n++) await register(accounts, `free-${n}@b.c`, from('192.0.2.1'))
    },
    async 'registrations of a taken address'(accounts) {
      for (let n = 0; n < 20; n++) await register(accounts, 'other@b.c', from('192.0.2.1'))
    },
    async 'sign-ins at many addresses'(accounts) {
      for (let n = 0; n < 100; n++) await signIn(accounts, `any-${n}@b.c`, 'wrong', from('192.0.2.1'))
    },
    async 'sign-ins at the very address'(accounts) {
      for (let n = 0; n < 10; n++) {
        await signIn(accounts, 'taken@b.c', 'wrong', from('192.0.2.1'))
        await signIn(accounts, 'free@b.c', 'wrong', from('192.0.2.1'))
      }
    },
  }
  for (const [name, fill] of Object.entries(before)) {
    test(name, async (t) => {
      const { accounts, addAccount } = await open(t)
      await addAccount('taken@b.c')
      await addAccount('other@b.c')
      await fill(accounts)
      for (let round = 0; round < 3; round++) {
        assert.equal(await register(accounts, 'taken@b.c', from('192.0.2.1')), limited)
        assert.equal(await register(accounts, 'free@b.c', from('192.0.2.1')), limited)
      }
    })
  }
})

describe('strangers who fill counters do not keep the owner out', () => {
  test('one stranger: the owner signs in from a known browser and from another network', async (t) => {
    const { accounts, addAccount } = await open(t)
    await addAccount('ada@b.c')
    for (let n = 0; n < 10; n++)
      assert.equal(await signIn(accounts, 'ada@b.c', `guess ${n}`, from('192.0.2.1')), 'wrong')
    assert.equal(await signIn(accounts, 'ada@b.c', password, from('192.0.2.1')), limited)
    assert.equal(await signIn(accounts, 'ada@b.c', password, from('192.0.2.1', 'known')), 'in', 'behind the same NAT')
    assert.equal(await signIn(accounts, 'ada@b.c', password, from('198.51.100.7')), 'in')
  })

  test('strangers from everywhere: guesses are stopped, and the owner’s browser can sign in', async (t) => {
    const { accounts, addAccount } = await open(t)
    await addAccount('ada@b.c')
    const guess = (n: number) => signIn(accounts, 'ada@b.c', `guess ${n}`, from(`192.0.2.${n}`))
    for (let n = 0; n < 100; n++) assert.equal(await guess(n), 'wrong')
    assert.equal(await guess(100), limited)
    for (let n = 0; n < 12; n++) {
      assert.equal(await signIn(accounts, 'ada@b.c', password, from('192.0.2.1', 'known')), 'in')
    }
  })

  test('one stranger: the owner can change the password while signed in', async (t) => {
    const { accounts, addAccount } = await open(t)
    const { id } = await addAccount('ada@b.c')
    for (let n = 0; n < 110; n++) await signIn(accounts, 'ada@b.c', 'wrong', from(`192.0.2.${n}`))
    await accounts.changePassword(id, { current: password, next: 'another horse' }, 'session')
    assert.equal(await signIn(accounts, 'ada@b.c', 'another horse', from('192.0.2.1', 'known')), 'in')
  })

  test('a known browser has ten wrong tries, and a session five, each of two passwords', async (t) => {
    const { accounts, addAccount } = await open(t)
    const { id } = await addAccount('ada@b.c')
    const caller = from('192.0.2.1', 'known')
    for (let n = 0; n < 10; n++) assert.equal(await signIn(accounts, 'ada@b.c', 'wrong', caller), 'wrong')
    assert.equal(await signIn(accounts, 'ada@b.c', password, caller), limited)
    const change = () => accounts.changePassword(id, { current: 'wrong', next: 'another horse' }, 'session')
    // A change compares `current` and `next` with the password, so each is a guess.
    for (let n = 0; n < 5; n++) await assert.rejects(change(), { code: 'ERR_REQUEST_INVALID' })
    await assert.rejects(change(), { code: limited })
  })
})

describe('a database that fails is not a wrong password', () => {
  const failing = async () => {
    throw new DaypassError('ERR_STORE_LOCKED')
  }
  const away = 'ERR_STORE_LOCKED'

  test('while the accounts fail, no counter fills', async (t) => {
    const stores = await openStores('memory:')
    t.after(() => stores.close())
    const limits = createLimits(stores.createLimiter)
    const accounts = createAccounts(stores.accounts, limits)
    const accountsAway = createAccounts({ ...stores.accounts, findByEmail: failing, findById: failing }, limits)
    const { id } = (await accounts.register({ email: 'ada@b.c', password }, from('192.0.2.9')))!
    const callers = [from('192.0.2.1'), from('192.0.2.1', 'known')]
    const change = { current: password, next: 'another horse' }
    for (let n = 0; n < 120; n++) {
      for (const caller of callers) assert.equal(await signIn(accountsAway, 'ada@b.c', password, caller), away)
      await assert.rejects(accountsAway.changePassword(id, change, 'session'), { code: away })
    }
    for (const caller of callers) assert.equal(await signIn(accounts, 'ada@b.c', password, caller), 'in')
    await accounts.changePassword(id, change, 'session')
  })

  test('a counter that fails is not given a try that it never counted', async (t) => {
    const stores = await openStores('memory:')
    t.after(() => stores.close())
    let isAway = false
    const limits = createLimits((options) => {
      const limiter = stores.createLimiter(options)
      if (options.keyPrefix !== 'pair') return limiter
      const penalty = limiter.penalty.bind(limiter)
      limiter.penalty = (...given) => (isAway ? failing() : penalty(...given))
      return limiter
    })
    const accounts = createAccounts(stores.accounts, limits)
    isAway = true
    for (let n = 0; n < 5; n++) assert.equal(await signIn(accounts, 'ada@b.c', 'wrong', from('192.0.2.1')), away)
    isAway = false
    for (let n = 0; n < 10; n++) assert.equal(await signIn(accounts, 'ada@b.c', 'wrong', from('192.0.2.1')), 'wrong')
    assert.equal(await signIn(accounts, 'ada@b.c', 'wrong', from('192.0.2.1')), limited)
  })
})

test('a hundred guesses at once count like a hundred in a row', async (t) => {
  const { accounts, addAccount } = await open(t)
  await addAccount('ada@b.c')
  const guesses = Array.from({ length: 50 }, (_, n) => signIn(accounts, 'ada@b.c', `${n}`, from('192.0.2.1')))
  const outcomes = await Promise.all(guesses)
  assert.equal(outcomes.filter((each) => each === 'wrong').length, 10)
  assert.equal(outcomes.filter((each) => each === limited).length, 40)
})

test('two hundred people behind one address sign in with correct passwords, some twice and some after a typing error', async (t) => {
  const { accounts, addAccount } = await open(t)
  const people = Array.from({ length: 200 }, (_, n) => `person-${n}@b.c`)
  for (const email of people) await addAccount(email)
  const office = from('192.0.2.1')
  for (let n = 0; n < people.length; n += 50) {
    const tries = people.slice(n, n + 50).map(async (email, index) => {
      if (index % 5 === 0) assert.equal(await signIn(accounts, email, 'typing error', office), 'wrong')
      return signIn(accounts, email, password, office)
    })
    assert.deepEqual(new Set(await Promise.all(tries)), new Set(['in']))
  }
})

describe('networks', () => {
  const same: [string, string[]][] = [
    [
      '2001:db8:0:1::/64',
      ['2001:db8:0:1::1', '2001:0DB8:0000:0001:ffff:ffff:ffff:ffff', '2001:db8:0:1:0:0:0:0', '2001:db8::1:0:0:0:9'],
    ],
    ['2001:db8:0:0::/64', ['2001:db8::1', '2001:db8:0:0:1::', '2001:db8:0:0:1:2:3:4']],
    ['0:0:0:0::/64', ['::1', '0:0:0:0:0:0:0:1']],
    ['fe80:0:0:0::/64', ['fe80::1%eth0']],
    ['192.0.2.1', ['192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:192.0.2.1']],
  ]
  for (const [network, addresses] of same) {
    test(network, () => {
      for (const address of addresses) assert.equal(networkOf(address), network, address)
    })
  }

  test('tries from one /64 count together, over HTTP and behind a proxy', async (t) => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:', DAYPASS_TRUSTED_PROXIES: '127.0.0.1' })
    t.after(() => server.remove())
    const tryFrom = (ip: string) => {
      const guess = { email: 'ada@example.com', password: 'a guess', transport: 'body' }
      return post(`${server.url}/auth/login`, guess, { 'x-forwarded-for': ip })
    }
    for (let n = 0; n < 10; n++) assert.equal((await tryFrom(`2001:db8::${n}:${randomHex()}`)).status, 401)
    const refused = await tryFrom('2001:0db8:0000:0:abcd::1')
    assert.equal(refused.status, 429)
    assert.ok(Number(refused.headers.get('retry-after')) > 800)
    assert.equal((await tryFrom('2001:db8:0:1::1')).status, 401)
  })
})

const randomHex = () => randomBytes(2).toString('hex')

describe('known browsers', () => {
  const pageHeaders = (server: ServerProcess, cookie?: string) => ({
    origin: server.url,
    'sec-fetch-site': 'same-origin',
    ...(cookie !== undefined && { cookie }),
  })

  test('a browser that has signed in before can sign in while strangers guess, with its cookie', async (t) => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    t.after(() => server.remove())
    const credentials = { email: 'ada@example.com', password }
    const registered = await post(`${server.url}/auth/register`, credentials, pageHeaders(server))
    assert.equal(registered.status, 200)
    const device = registered.headers.getSetCookie().find((cookie) => cookie.startsWith('daypass-device='))!
    assert.match(device, /; Path=\/auth; Max-Age=\d+; HttpOnly; SameSite=Strict$/)
    const guess = { ...credentials, password: 'a guess', transport: 'body' }
    for (let n = 0; n < 10; n++) assert.equal((await post(`${server.url}/auth/login`, guess)).status, 401)
    assert.equal((await post(`${server.url}/auth/login`, credentials, pageHeaders(server))).status, 429)
    const [cookie] = device.split(';')
    assert.equal((await post(`${server.url}/auth/login`, credentials, pageHeaders(server, cookie))).status, 200)
  })

  test('cookies that an earlier password collected give no guesses at the next one', async (t) => {
    const server = await startServerProcess({ DAYPASS_STORE: 'memory:' })
    t.after(() => server.remove())
    const send = async (route: string, body: object, headers = pageHeaders(server)) => {
      const response = await post(`${server.url}/auth/${route}`, body, headers)
      const device = response.headers.getSetCookie().find((cookie) => cookie.startsWith('daypass-device='))
      return { ...response, device: device?.split(';')[0] }
    }
    const old = { email: 'ada@example.com', password }
    const first = await send('register', old)
    const collected: string[] = []
    for (let n = 0; n < 12; n++) collected.push((await send('login', old)).device!)
    const next = 'another horse entirely'
    const authorization = `Bearer ${first.body.accessToken}`
    const headers = { ...pageHeaders(server, first.device), authorization }
    const changed = await send('password', { current: password, next }, headers)
    assert.equal(changed.status, 204)
    const guess = { email: old.email, password: 'a guess' }
    for (const [n, cookie] of collected.entries()) {
      const { status } = await send('login', guess, pageHeaders(server, cookie))
      assert.equal(status, n < 10 ? 401 : 429)
    }
    // The browser that changed the password stays known.
    assert.notEqual(changed.device, first.device)
    const now = { ...old, password: next }
    assert.equal((await send('login', now, pageHeaders(server, first.device))).status, 429)
    assert.equal((await send('login', now, pageHeaders(server, changed.device))).status, 200)
  })

  test('a cookie of another account, of another server or a made-up one does not count', () => {
    const devices = createDevices(['a secret of one server, thirty-two bytes'])
    const ada = { email: 'ada@b.c', passwordHash: 'a hash' }
    const cookie = devices.remember('', ada, true).split(';')[0]!
    assert.match(devices.remember('', ada, true), /; Secure$/)
    const idsIn = (cookies: string, email = 'ada@b.c', of = devices) => of.find(cookies, email).map(({ id }) => id)
    const [id = ''] = idsIn(cookie)
    assert.match(id, /^[\w-]{22}$/)
    assert.deepEqual(idsIn(devices.remember(cookie, ada, true).split(';')[0]!), [id], 'it keeps its id')
    const [device] = devices.find(cookie, 'ada@b.c')
    assert.deepEqual([device!.knew('a hash'), device!.knew('another hash')], [true, false])
    assert.deepEqual(idsIn(cookie, 'eve@b.c'), [])
    assert.deepEqual(idsIn(cookie, 'ada@b.c', createDevices(['another secret, of thirty-two bytes too'])), [])
    for (const part of cookie.slice('daypass-device='.length).split('.')) {
      assert.deepEqual(idsIn(cookie.replace(part, `${part[0] === 'A' ? 'B' : 'A'}${part.slice(1)}`)), [])
    }
    assert.deepEqual(idsIn(''), [])
    // An old secret that is still in the list counts.
    const rotated = createDevices([
      'a new secret of the server, long enough',
      'a secret of one server, thirty-two bytes',
    ])
    assert.deepEqual(idsIn(`a=1; ${cookie}; b=2`, 'ada@b.c', rotated), [id])
  })

  test('a cookie of the name that somebody else planted does not hide the browser’s own', async (t) => {
    const { accounts, addAccount } = await open(t)
    const account = await addAccount('ada@b.c')
    const devices = createDevices(['a secret of one server, thirty-two bytes'])
    const cookieOf = (passwordHash: string) => devices.remember('', { ...account, passwordHash }, true).split(';')[0]!
    const own = cookieOf(account.passwordHash)
    for (let n = 0; n < 10; n++) await signIn(accounts, 'ada@b.c', 'a guess', from('192.0.2.1'))
    for (const planted of ['daypass-device=x', `daypass-device=${own.slice(15, -1)}`, cookieOf('an earlier hash')]) {
      for (const cookies of [`${planted}; ${own}`, `${own}; ${planted}`, `${own};${planted};${own}`]) {
        const caller: Caller = { ip: '192.0.2.1', findDevices: (email) => devices.find(cookies, email) }
        assert.equal(await signIn(accounts, 'ada@b.c', password, caller), 'in', cookies)
      }
      const caller: Caller = { ip: '192.0.2.1', findDevices: (email) => devices.find(planted, email) }
      assert.equal(await signIn(accounts, 'ada@b.c', password, caller), limited, planted)
    }
  })
})
