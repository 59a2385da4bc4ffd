#!/usr/bin/env node
// The `daypass` command: which words does it take?

import { readFileSync } from 'node:fs'
import { DaypassError } from '../errors.ts'
import { readConfig, variables } from './config.ts'

const help = `daypass keeps people signed in.

  daypass serve      start the server with its console
  daypass --help     this text
  daypass --version  the version

The settings of \`daypass serve\` are environment variables:
${Object.entries(variables)
  .map(([name, text]) => `  ${name.padEnd(30)} ${text}`)
  .join('\n')}
`

async function serve(): Promise<void> {
  const config = readConfig(process.env)
  if (config.newSecretPath !== undefined) {
    console.error(`A secret was made and kept in ${config.newSecretPath}: back it up, or set DAYPASS_SECRET.`)
  }
  const { startServer } = await import('./server.ts')
  const server = await startServer(config)
  if (process.stdout.isTTY) console.error(`\n  Daypass is at ${server.url}\n`)
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // Asked twice, whoever asks means it.
      if (stopping) process.exit(1)
      stopping = true
      server.stop().then(
        () => process.exit(0),
        () => process.exit(1),
      )
    })
  }
}

const [word, ...more] = process.argv.slice(2)
try {
  if (word === 'serve' && more.length === 0) await serve()
  else if (word === '--version')
    console.log(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version)
  else if (word === undefined || word === '--help' || word === '-h' || word === 'help') console.log(help)
  else {
    console.error(`daypass: there is no "${[word, ...more].join(' ')}"; see daypass --help`)
    process.exitCode = 2
  }
} catch (error) {
  if (!(error instanceof DaypassError)) throw error
  console.error(`daypass: ${error.message} (${error.code})`)
  process.exitCode = 1
}
