// Do the protocol's properties hold over everything that can happen, and does the model see it where they do not?
// `npm run model` asks more and looks further.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explore } from '../../proof/model/explore.ts'
import { mutants, quick } from '../../proof/model/questions.ts'
import { protocol } from '../../proof/model/world.ts'

for (const { name, bounds } of quick) {
  test(`holds: ${name}`, (t) => {
    const { states, isWhole, broken } = explore(bounds, protocol)
    assert.equal(broken, undefined, broken?.story.join('\n'))
    assert.ok(isWhole && states > 1000, 'all of it was seen, and it is not nothing')
    t.diagnostic(`${states} states`)
  })
}

for (const { name, question, change } of mutants) {
  test(`caught: ${name}`, (t) => {
    const { bounds } = quick.find((each) => each.name === question)!
    const { broken } = explore(bounds, { ...protocol, ...change })
    assert.ok(broken !== undefined)
    assert.ok(broken.story.length >= 2 && broken.property.includes(':'))
    t.diagnostic(broken.story.join('\n'))
  })
}
