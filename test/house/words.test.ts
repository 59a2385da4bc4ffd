// Comments and pages are statements in plain English: the first line of a file says what it is, and sentences begin plainly.

import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

/** The TypeScript of the project, without what is installed or made. */
const files = globSync('{src,test,bench,examples,scripts,proof,server/src,server/web}/**/*.ts', {
  cwd: root,
  exclude: ['**/node_modules', '**/next-env.d.ts', '**/.svelte-kit', '**/.next'],
})
const scripts = globSync('{scripts,server}/*.sh', { cwd: root })
const textOf = (file: string) => readFileSync(join(root, file), 'utf8').replace(/^#!.*\n/, '')

/** The pages that the rule holds for. */
const pages = globSync(['*.md', 'docs/*.md'], { cwd: root })

const riddle = /^(?:What|Whatever|Who|Whoever|Whom|Whose|Nobody)\b/
/** Words that stand for another: receive, learn, be informed, adapter, anybody who. “Told apart” is plain. */
const metaphor = /\b(?:told(?! apart)|hears?|heard|doors?|brooms?|whoever)\b/i

/** The sentences of all comments that begin a line. Examples in TSDoc are left out. */
function sentencesOf(text: string): string[] {
  const comments = text.match(/^[ \t]*\/\*\*?[\s\S]*?\*\/|(?:^[ \t]*\/\/.*\n?)+/gm) ?? []
  return comments.flatMap((comment) => {
    const lines = comment.replace(/^[ \t]*(?:\/\*\*?|\*\/|\*(?!\/)|\/\/)[ \t]?/gm, '').replace(/\*\/\s*$/, '')
    return lines
      .replace(/```[\s\S]*?```/g, '')
      .split(/(?<=[.!?])\s+|\n\s*\n|^\s*(?:- |@\w+)/m)
      .map((sentence) => sentence.replace(/\s+/g, ' ').trim())
      .filter((sentence) => /\w/.test(sentence))
  })
}

test('the first line of each file is a comment, and not a question', () => {
  assert.ok(files.length > 40, 'the files are found')
  for (const file of [...files, ...scripts]) {
    const [first = ''] = textOf(file).split('\n', 1)
    assert.match(first, /^(\/\/|\/\*\*|#) \S/, `${file} begins without a comment`)
    assert.doesNotMatch(first, /\?\s*$/, `${file} begins with a question`)
  }
})

test('fewer than 1 % of the sentences in comments begin with What, Who, Nobody or the like', (t) => {
  const sentences = files.flatMap((file) => sentencesOf(textOf(file)).map((sentence) => ({ file, sentence })))
  const riddles = sentences.filter(({ sentence }) => riddle.test(sentence))
  const percent = (100 * riddles.length) / sentences.length
  t.diagnostic(`${riddles.length} of ${sentences.length} sentences: ${percent.toFixed(1)} %`)
  const list = riddles.map(({ file, sentence }) => `${file}: ${sentence}`).join('\n')
  assert.ok(sentences.length > 500, 'the sentences are found')
  assert.ok(percent < 1, `${percent.toFixed(1)} % of the sentences:\n${list}`)
})

test('comments and test names use the conventional word', () => {
  const found: string[] = []
  for (const file of files) {
    const text = textOf(file)
    const names = [...text.matchAll(/^\s*(?:test|describe)\(\s*(['`])(.*?)\1/gms)].map(([, , name]) => name!)
    for (const sentence of [...names, ...sentencesOf(text)])
      if (metaphor.test(sentence)) found.push(`${file}: ${sentence}`)
  }
  assert.deepEqual(found, [])
})

test('no sentence, heading or cell of a page begins with one of these words', () => {
  let count = 0
  for (const page of pages) {
    const text = textOf(page)
      .replace(/```[\s\S]*?```/g, '')
      .replace(/“[^”]*”/g, '') // names of tests
    for (const part of text.split(/(?<=[.!?:])\s+|\||\n\s*\n|^\s*(?:[-#]+|\d+\.) /m)) {
      const sentence = part.replace(/^[^\w`]+/, '')
      assert.doesNotMatch(sentence, riddle, page)
      if (sentence !== '') count++
    }
  }
  assert.ok(count > 1000, 'the sentences are found')
})
