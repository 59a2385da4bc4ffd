// `npm run mutation`: mutation testing of all layers in turn, or of one: `npm run mutation -- http`. What follows the
// layer's name goes to Stryker: `npm run mutation -- core --mutate src/core/rotation.ts`, `npm run mutation -- core --force`.

import { spawnSync } from 'node:child_process'

const names = ['verify', 'core', 'http']
const [first, ...rest] = process.argv.slice(2)
if (first !== undefined && !names.includes(first)) {
  console.error(`npm run mutation -- [${names.join('|')}] [options of Stryker]`)
  process.exit(2)
}

for (const name of first === undefined ? names : [first]) {
  const env = { ...process.env, MUTATION_LAYER: name }
  const { status } = spawnSync('npx', ['stryker', 'run', ...rest], { stdio: 'inherit', env })
  if (status !== 0) process.exit(status ?? 1)
}
