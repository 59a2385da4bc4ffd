// Rotates secrets and signing keys, instance by instance, under load: nobody is signed out, and no API meets an unknown key.

import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Daypass, RefreshedTokens } from '../../src/core/api.ts'
import { createDaypass } from '../../src/core/daypass.ts'
import type { SigningKey } from '../../src/core/keys.ts'
import type { DaypassOptions } from '../../src/core/options.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createFakeClock, createSeededRandom } from '../../src/testing/index.ts'
import { freshSeed } from '../../src/testing/random.ts'
import { createVerifier, type Verifier } from '../../src/verify/index.ts'
import type { Warning } from '../../src/warn.ts'
import { day, minute, newKey, refused } from './setup.ts'

type KeyOptions = Pick<DaypassOptions, 'secret' | 'signingKeys'>

/** Instances behind a load balancer, APIs that fetch their keys through it, and people who use all of them. */
async function setUp(t: TestContext, first: KeyOptions) {
  const seed = freshSeed()
  t.diagnostic(`seed ${seed}`)
  const chance = createSeededRandom(seed)
  const time = createFakeClock(Date.now())
  const store = createMemoryStore()
  const warnings: Warning[] = []
  const create = (keys: KeyOptions) =>
    createDaypass({
      ...keys,
      issuer: 'https://id.example',
      store,
      clock: time.clock,
      onWarning: (warning) => warnings.push(warning),
    })
  const instances: Daypass[] = Array.from({ length: 4 }, () => create(first))
  const anyInstance = () => chance.pick(instances)
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/jwk-set+json').end(JSON.stringify(anyInstance().jwks()))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const jwks = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
  const createApi = () => createVerifier({ issuer: 'https://id.example', jwks, clock: time.clock })
  const apis: Verifier[] = [createApi(), createApi()]
  const people = await Promise.all(Array.from({ length: 8 }, (_, i) => anyInstance().issue(`user-${i}`)))

  const isOver = (accessToken: string) => payloadOf(accessToken).exp * 1000 <= time.now()

  /** Every person refreshes and calls an API, each at an instance that the load balancer picks. */
  async function load(): Promise<void> {
    await Promise.all(
      people.map(async ({ refreshToken, accessToken: before }, index) => {
        const idempotencyKey = newKey()
        let next: RefreshedTokens | undefined
        // Sometimes a response is lost, and the client retries at another instance with the same key.
        for (let i = chance.below(3) === 0 ? 2 : 1; i > 0; i--) {
          next = await anyInstance().refresh(refreshToken, { idempotencyKey })
        }
        people[index] = next!
        for (const accessToken of isOver(before) ? [next!.accessToken] : [before, next!.accessToken]) {
          for (const checker of [...instances, ...apis]) await checker.verify(accessToken)
        }
      }),
    )
  }

  /** One instance after another gets the new options; one is rolled back in between. */
  async function deploy(keys: KeyOptions, before: KeyOptions): Promise<void> {
    for (let index = 0; index < instances.length; index++) {
      for (const options of index === 1 ? [keys, before, keys] : [keys]) {
        instances[index] = create(options)
        // APIs start at any time, and fetch the keys from any instance.
        if (chance.below(2) === 0) apis.push(createApi())
        await load()
        time.advance(20)
      }
    }
  }

  async function wait(seconds: number): Promise<void> {
    const steps = 5
    for (let i = 0; i < steps; i++) {
      time.advance(seconds / steps)
      await load()
    }
  }

  return { time, create, instances, apis, people, warnings, load, deploy, wait }
}

const partOf = (token: string, part: number) => JSON.parse(Buffer.from(token.split('.')[part]!, 'base64url').toString())
const payloadOf = (accessToken: string) => partOf(accessToken, 1)
const published = 15 * minute
const makeSecret = () => randomBytes(48)
const makeKey = (algorithm: 'EdDSA' | 'ES256'): SigningKey => ({
  algorithm,
  privateKey:
    algorithm === 'EdDSA'
      ? generateKeyPairSync('ed25519').privateKey
      : generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
})

test('a secret is rotated in a rolling deploy: [old, new], [new, old], [new]', async (t) => {
  const [old, fresh] = [makeSecret(), makeSecret()]
  const steps: KeyOptions[] = [{ secret: old }, { secret: [old, fresh] }, { secret: [fresh, old] }, { secret: [fresh] }]
  const { deploy, wait, instances, warnings } = await setUp(t, steps[0]!)
  await deploy(steps[1]!, steps[0]!)
  await wait(published)
  await deploy(steps[2]!, steps[1]!)
  await wait(7 * day)
  await deploy(steps[3]!, steps[2]!)
  await wait(published)
  assert.equal(instances[0]!.jwks().keys.length, 1)
  assert.deepEqual(warnings, [])
})

test('signing keys are rotated in a rolling deploy, from the secret’s own to one of the app’s and on to the next', async (t) => {
  const secret = makeSecret()
  const [a, b] = [makeKey('ES256'), makeKey('EdDSA')]
  const steps: KeyOptions[] = [
    { secret },
    { secret, signingKeys: ['secret', a] },
    { secret, signingKeys: [a] },
    { secret, signingKeys: [a, b] },
    { secret, signingKeys: [b, a] },
    { secret, signingKeys: [b] },
  ]
  const { deploy, wait, warnings, people } = await setUp(t, steps[0]!)
  const algorithms: string[] = []
  for (let i = 1; i < steps.length; i++) {
    await deploy(steps[i]!, steps[i - 1]!)
    await wait(published)
    algorithms.push(partOf(people[0]!.accessToken, 0).alg)
  }
  assert.deepEqual(algorithms, ['EdDSA', 'ES256', 'ES256', 'EdDSA', 'EdDSA'])
  assert.deepEqual(warnings, [])
})

test('a new secret that comes first at once: an instance without it rejects its tokens, and warns what to do', async (t) => {
  const [old, fresh] = [makeSecret(), makeSecret()]
  const { create, warnings } = await setUp(t, { secret: old })
  const [before, updated] = [create({ secret: old }), create({ secret: [fresh, old] })]
  const tokens = await updated.issue('ada')
  await refused(before.refresh(tokens.refreshToken), 'ERR_REFRESH_TOKEN_INVALID', 'invalid_grant')
  await refused(before.verify(tokens.accessToken), 'ERR_ACCESS_TOKEN_INVALID')
  assert.equal(await before.revokeToken(tokens.refreshToken), false)
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['DAYPASS_SECRET_UNKNOWN'],
  )
  assert.match(warnings[0]!.message, /\[old, new\]/)
  for (const secret of [tokens.refreshToken.slice(4), old.toString('base64')]) {
    assert.ok(!warnings[0]!.message.includes(secret))
  }
  // After a rollback the new secret is accepted anywhere in the list.
  assert.ok(await create({ secret: [old, fresh] }).refresh(tokens.refreshToken))
})

test('garbage does not warn of an unknown secret', async (t) => {
  const secret = makeSecret()
  const { create, warnings } = await setUp(t, { secret })
  const auth = create({ secret })
  const { refreshToken } = await auth.issue('ada')
  const texts = ['', 'dpr_', `${refreshToken}A`, refreshToken.slice(0, -1), `dpr_${'A'.repeat(83)}`, 'x'.repeat(87)]
  for (const text of [...texts, `${refreshToken.slice(0, -4)}AAAA`]) {
    await refused(auth.refresh(text), 'ERR_REFRESH_TOKEN_INVALID')
  }
  assert.deepEqual(warnings, [])
})

test('a server with two secrets warns of neither’s tokens, also if they were changed', async (t) => {
  const [old, fresh] = [makeSecret(), makeSecret()]
  const { create, warnings } = await setUp(t, { secret: old })
  const { refreshToken } = await create({ secret: old }).issue('ada')
  const changed = `${refreshToken.slice(0, -4)}AAAA`
  for (const secret of [
    [old, fresh],
    [fresh, old],
  ]) {
    await refused(create({ secret }).refresh(changed), 'ERR_REFRESH_TOKEN_INVALID')
  }
  assert.deepEqual(warnings, [])
})

test('two secrets whose one-byte ids are the same are told apart by their proofs', async (t) => {
  const idOf = (token: string) => Buffer.from(token.slice(4), 'base64url')[1]
  const bySecret = new Map<number, Buffer>()
  let pair: [Buffer, Buffer] | undefined
  const { create } = await setUp(t, { secret: makeSecret() })
  while (pair === undefined) {
    const secret = makeSecret()
    const id = idOf((await create({ secret }).issue('anybody')).refreshToken)!
    const other = bySecret.get(id)
    if (other) pair = [other, secret]
    bySecret.set(id, secret)
  }
  const [old, fresh] = pair
  const { refreshToken } = await create({ secret: old }).issue('ada')
  const next = await create({ secret: [fresh, old] }).refresh(refreshToken, { idempotencyKey: newKey() })
  const last = await create({ secret: [old, fresh] }).refresh(next.refreshToken, { idempotencyKey: newKey() })
  await refused(create({ secret: fresh }).refresh(last.refreshToken), 'ERR_REFRESH_TOKEN_INVALID')
})
