// Which changes of src/core, src/http and src/verify would no test notice? `npm run mutation` for all of it, or a slice:
// `npm run mutation -- --mutate 'src/verify/*.ts'`. docs/testing.md says how long it takes.

import { globSync } from 'node:fs'
import { resolve } from 'node:path'

// A little fuzzing, and the same for every mutant.
process.env.FUZZ_RUNS ??= '0.1'
process.env.DAYPASS_TEST_SEED ??= '1'
// A process for each test file and mutant compiles the same code. With Node's compile cache it does so once.
process.env.NODE_COMPILE_CACHE ??= resolve('.cache/node-compile')

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: [
    'src/{core,http,verify}/**/*.ts',
    // The translation of requests and responses.
    'src/adapters/{node-http,fetch}.ts',
    // A table of texts that test/docs/errors.test.ts compares with docs/errors.md.
    '!src/errors.ts',
  ],
  // A test file is a process, so that each mutant is tried in those files alone that reach it.
  testRunner: 'tap',
  coverageAnalysis: 'perTest',
  tap: {
    // What kills servers, waits for engines or races for seconds is left out. They are tried in this order, until one
    // fails: the quickest first, or every mutant would wait for the slowest. A change that survives costs all of them.
    testFiles: [
      ...new Set(
        [
          'test/verify/{token-cache,access-token,imports}.test.ts',
          'test/core/{options,refresh-token,subject,find-session,refresh,warn,store-clock,keys}.test.ts',
          'test/http/cookies.test.ts',
          'test/attacks/{sessions,vectors}.test.ts',
          'test/http/{csrf,routes}.test.ts',
          'test/adapters/{handler,guard}.test.ts',
          'test/core/{endings,lifetimes,adopt,adopt-mongoose,deploys}.test.ts',
          'test/adapters/{connections,middleware,odd-requests,matrix}.test.ts',
          'test/attacks/http.test.ts',
          'test/{core,adapters,fuzz}/*.test.ts',
          'test/attacks/tokens.test.ts',
          'test/http/{malformed,faults}.test.ts',
          'test/verify/remote-keys.test.ts',
        ].flatMap((pattern) => globSync(pattern)),
      ),
    ],
    nodeArgs: ['-r', '{{hookFile}}', '--test-reporter=tap', '{{testFile}}'],
  },
  plugins: ['@stryker-mutator/tap-runner', './scripts/stryker-texts.mjs'],
  ignorers: ['texts'],
  // Node strips the types of what Stryker wrote, and nobody checks them: neither comments nor a tsconfig are needed.
  // (Rewriting tsconfig.json would need the API of TypeScript 5, which TypeScript 7 does not have.)
  disableTypeChecks: false,
  tsconfigFile: 'none',
  ignorePatterns: ['.cache', 'bench', 'data', 'dist', 'docs', 'web'],
  concurrency: 2,
  timeoutMS: 8_000,
  timeoutFactor: 1.5,
  // What was tried before and has not changed is not tried again: `npm run mutation -- --force` tries all.
  incremental: true,
  incrementalFile: '.cache/mutation-incremental.json',
  tempDirName: '.cache/stryker',
  jsonReporter: { fileName: '.cache/mutation.json' },
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { reportTests: false },
}
