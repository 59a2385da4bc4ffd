// Mutation testing of one layer: finds the changes of it that no test notices. `npm run mutation` runs all layers in turn
// (scripts/mutation.ts, docs/testing.md).

import { globSync } from 'node:fs'
import { resolve } from 'node:path'

// A little fuzzing, and the same for every mutant.
process.env.FUZZ_RUNS ??= '0.1'
process.env.DAYPASS_TEST_SEED ??= '1'
// A process for each test file and mutant compiles the same code. With Node's compile cache it does so once.
process.env.NODE_COMPILE_CACHE ??= resolve('.cache/node-compile')

/**
 * The tests of each layer, the quickest first: they are tried in this order, until one fails. A change that survives costs
 * all of them, so the tests of other layers are left out, and what kills servers, waits for engines or races for seconds.
 */
const layers = {
  verify: {
    mutate: ['src/verify/**/*.ts', 'src/json.ts'],
    tests: [
      'test/verify/{token-cache,key-responses,access-token,imports}.test.ts',
      'test/attacks/{vectors,tokens}.test.ts',
      'test/fuzz/{json,tokens}.test.ts',
      'test/{core/keys,package/unknown-options,docs/setup-errors,verify/web-crypto,verify/remote-keys}.test.ts',
    ],
  },
  core: {
    mutate: ['src/core/**/*.ts'],
    tests: [
      'test/core/{options,refresh-token,subject,find-session,refresh,warn,store-clock,hmac}.test.ts',
      'test/core/{sign-in-lifetimes,sign-in-values,update,endings,keys,adopt}.test.ts',
      'test/{package/unknown-options,docs/setup-errors,http/sign-in-over}.test.ts',
      'test/attacks/{vectors,sessions}.test.ts',
      'test/core/*.test.ts',
    ],
  },
  http: {
    // The translation of requests and responses belongs to it.
    mutate: ['src/http/**/*.ts', 'src/adapters/{node-http,fetch-request,fetch}.ts'],
    tests: [
      'test/http/{find-route,client-address,ip-address,origins,idempotency-key,cookie-lines}.test.ts',
      'test/http/{router,http-auth,daypass-routes}.test.ts',
      'test/adapters/{node-request,guard,misuse,connections}.test.ts',
      'test/{http/caller,adapters/handler,http/sign-in-over}.test.ts',
      'test/adapters/{middleware,odd-requests}.test.ts',
      'test/http/{csrf,routes,cookies}.test.ts',
      'test/fuzz/{headers,redirect}.test.ts',
      'test/{package/unknown-options,docs/setup-errors}.test.ts',
      'test/adapters/{mount,arrival,matrix}.test.ts',
      'test/attacks/http.test.ts',
      'test/http/{malformed,faults}.test.ts',
    ],
  },
}

const name = process.env.MUTATION_LAYER ?? 'core'
const layer = layers[name]
if (layer === undefined) throw new Error(`MUTATION_LAYER is ${name}, and not one of ${Object.keys(layers).join(', ')}.`)
const find = (patterns) => [...new Set(patterns.flatMap((pattern) => globSync(pattern).sort()))]

/** @type {import('@stryker-mutator/api/core').PartialStrykerOptions} */
export default {
  mutate: layer.mutate,
  // A test file is a process, so that each mutant is tried in those files alone that reach it.
  testRunner: 'tap',
  coverageAnalysis: 'perTest',
  tap: {
    testFiles: find(layer.tests),
    // A change that makes a test wait for ever is detected after ten seconds, not after all of Stryker's timeout.
    nodeArgs: ['-r', '{{hookFile}}', '--test-reporter=tap', '--test-timeout=10000', '{{testFile}}'],
  },
  plugins: ['@stryker-mutator/tap-runner', './scripts/stryker-texts.mjs'],
  ignorers: ['texts'],
  // Node strips the types of what Stryker wrote, and nobody checks them: neither comments nor a tsconfig are needed.
  // (Rewriting tsconfig.json would need the API of TypeScript 5, which TypeScript 7 does not have.)
  disableTypeChecks: false,
  tsconfigFile: 'none',
  ignorePatterns: ['.cache', 'bench', 'data', 'dist', 'docs', 'web'],
  concurrency: 3,
  timeoutMS: 8_000,
  timeoutFactor: 1.5,
  // What was tried before and has not changed is not tried again: `npm run mutation -- --force` tries all.
  incremental: true,
  incrementalFile: `.cache/mutation-${name}-incremental.json`,
  tempDirName: `.cache/stryker-${name}`,
  jsonReporter: { fileName: `.cache/mutation-${name}.json` },
  reporters: ['clear-text', 'json', 'progress-append-only'],
  clearTextReporter: { reportTests: false },
}
