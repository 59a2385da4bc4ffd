// The drawn sequences of the docs: each file is as scripts/sequences.ts draws it, and the server does as it is drawn.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { drawSequence, sequences } from '../../scripts/sequences.ts'
import { isDaypassError } from '../../src/errors.ts'
import { createMemoryStore } from '../../src/stores/memory.ts'
import { createRig, generationOf, hour, minute, newKey } from '../core/setup.ts'

const folder = join(import.meta.dirname, '../../docs/sequences')
const stories = Object.entries(sequences)

test('every drawing is up to date, and there is no other', () => {
  assert.deepEqual(readdirSync(folder).sort(), stories.map(([name]) => `${name}.svg`).sort())
  for (const [name, sequence] of stories) {
    assert.equal(
      readFileSync(join(folder, `${name}.svg`), 'utf8'),
      drawSequence(sequence),
      `${name}: npm run sequences`,
    )
  }
})

for (const [name, { lanes, steps }] of stories) {
  test(`the server does as drawn in ${name}.svg`, async () => {
    const { auth, time, events } = createRig(createMemoryStore())
    const server = lanes.indexOf('Server')
    // The tokens by their generation. The story begins long after the third refresh.
    let { refreshToken, accessToken } = await auth.issue('user-1')
    for (let turn = 0; turn < 3; turn++) {
      ;({ refreshToken, accessToken } = await auth.refresh(refreshToken, { idempotencyKey: newKey() }))
    }
    const tokens = new Map([[3, refreshToken]])
    const keys = new Map<string, string>()
    time.advance(hour)

    /** The response to a request, in the words of the drawing. */
    async function ask(text: string): Promise<string> {
      const [, token, key = newKey()] = /token (\d+)(?:, key (\w+))?$/.exec(text) ?? []
      const presented = tokens.get(Number(token))
      assert.ok(presented, `somebody has token ${token}`)
      if (!keys.has(key)) keys.set(key, newKey())
      try {
        const answer = await auth.refresh(presented, { idempotencyKey: keys.get(key)! })
        accessToken = answer.accessToken
        const generation = generationOf(answer.refreshToken)
        const isSame = tokens.get(generation) === answer.refreshToken
        tokens.set(generation, answer.refreshToken)
        return `200, ${isSame ? 'the same ' : ''}token ${generation}`
      } catch (error) {
        assert.ok(isDaypassError(error), String(error))
        return error.status === 401 ? `401 ${error.error}` : `${error.status}, no token`
      }
    }

    const responses: string[] = []
    for (const step of steps) {
      if ('later' in step) time.advance(minute)
      else if ('note' in step) {
        const [, type] = /event “(\w+)”/.exec(step.note.join(' ')) ?? []
        if (type) assert.ok(events.some((event) => event.type === type))
      } else if (step.to === server) responses[step.from] = await ask(step.text.join(' '))
      else assert.equal(responses[step.to], step.text.join(' '))
    }
    const isEnded = events.some(({ type }) => type === 'reused')
    assert.equal(isEnded, name.startsWith('theft'))
    if (isEnded) await assert.rejects(auth.verify(accessToken))
    else await auth.verify(accessToken)
    await auth.close()
  })
}
