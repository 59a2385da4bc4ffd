// The verifier without node:crypto, as in browsers and workers: the same tests, the same results.

import './hide-node.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { node } from '../../src/verify/node.ts'
import './access-token.test.ts'
import './token-cache.test.ts'
import '../attacks/tokens.test.ts'
import '../attacks/vectors.test.ts'
import '../fuzz/tokens.test.ts'

test('node:crypto is hidden in this process', () => assert.equal(node, undefined))
