// The model: the protocol's properties hold in every state within small bounds, and each mutant is caught.
// `npm run model` explores more questions and larger bounds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explore } from '../../proof/model/explore.ts'
import { protocol } from '../../proof/model/protocol.ts'
import { findQuestion, mutants, quick } from '../../proof/model/questions.ts'

for (const { name, bounds } of quick) {
  test(`holds: ${name}`, (t) => {
    const { states, isWhole, broken } = explore(bounds, protocol)
    assert.equal(broken, undefined, broken?.story.join('\n'))
    assert.ok(isWhole && states > 1000, 'all states were visited, and there are many')
    t.diagnostic(`${states} states`)
  })
}

for (const { name, question, change } of mutants) {
  test(`caught: ${name}`, (t) => {
    const { bounds } = findQuestion(question)
    const { broken } = explore(bounds, { ...protocol, ...change })
    assert.ok(broken !== undefined)
    assert.ok(broken.story.length >= 1 && broken.property.includes(':'))
    t.diagnostic(broken.story.join('\n'))
  })
}
