#!/usr/bin/env node
// The `daypass-server` command.

import { isDaypassError } from 'daypass'
import { readConfig, variables } from './config.ts'

const help = `daypass-server keeps people signed in.

  daypass-server serve      start the server with its console
  daypass-server --help     this text
  daypass-server --version  the version

The settings of \`daypass-server serve\` are environment variables:
${Object.entries(variables)
  .map(([name, text]) => `  ${name.padEnd(30)} ${text}`)
  .join('\n')}
`

// A reader of the messages that ends does not end the server.
process.stderr.on('error', () => {})

async function serve(): Promise<void> {
  const config = readConfig(process.env)
  if (config.notice !== undefined) console.error(config.notice)
  const [{ startServer }, { openLog }] = await Promise.all([import('./server.ts'), import('./log.ts')])
  const { log, close } = openLog(config.logLevel)
  const server = await startServer(config, log)
  if (process.stdout.isTTY) console.error(`\n  Daypass is at ${server.url}\n`)
  let stopping = false
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, async () => {
      // The second signal ends it at once.
      if (stopping) process.exit(1)
      stopping = true
      const code = await server.stop().then(
        () => 0,
        () => 1,
      )
      await close()
      process.exit(code)
    })
  }
}

const [word, ...more] = process.argv.slice(2)
try {
  if (word === 'serve' && more.length === 0) await serve()
  else if (word === '--version') console.log((await import('./server.ts')).version)
  else if (word === undefined || word === '--help' || word === '-h' || word === 'help') console.log(help)
  else {
    console.error(`daypass-server: there is no "${[word, ...more].join(' ')}"; see daypass-server --help`)
    process.exitCode = 2
  }
} catch (error) {
  // Of an error that is not ours only the text and the places: Node would print its other properties, and URLs with
  // passwords are among those.
  const { message, stack = '' } = error as Error
  const text = isDaypassError(error) ? `${error.message} (${error.code})` : `${message}\n${placesIn(stack)}`
  console.error(`daypass-server: ${text}`)
  process.exitCode = 1
}

function placesIn(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .join('\n')
}
