// Daypass beside other libraries, in the same job: prints figures, ratios to Daypass, and what each does not do in that job.
//
// `npm run bench:peers`, or `npm run bench:peers -- --only better-auth --only fast-jwt --seconds 2`. The libraries are
// dependencies of this folder alone, and are installed when they are missing.

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const servers = ['oidc-provider', 'better-auth', 'express-session', 'iron-session', 'jsonwebtoken']
const verifiers = ['fast-jwt', 'jose', 'jsonwebtoken']
const { seconds, only } = readOptions()
const isWanted = (peer: string) => only.length === 0 || only.includes(peer)

if (!existsSync(join(import.meta.dirname, 'node_modules'))) installPeers()
console.log(`Node ${process.versions.node}, ${availableParallelism()} × ${cpus()[0]?.model}`)

if (servers.some(isWanted)) {
  const { benchExchanges } = await import('./exchanges.ts')
  await benchExchanges(seconds, isWanted)
}
if (verifiers.some(isWanted)) {
  const { benchPeerVerifiers } = await import('./verify.ts')
  await benchPeerVerifiers(seconds, isWanted)
}

function readOptions(): { seconds: number; only: string[] } {
  const peers = [...new Set([...servers, ...verifiers])]
  try {
    const { values } = parseArgs({
      options: { seconds: { type: 'string', default: '7' }, only: { type: 'string', multiple: true, default: [] } },
    })
    const seconds = Number(values.seconds)
    if (seconds > 0 && values.only.every((peer) => peers.includes(peer))) return { seconds, only: values.only }
  } catch {
    // An option that does not exist.
  }
  console.error(`npm run bench:peers -- [--seconds N] [--only ${peers.join('|')}] …`)
  process.exit(2)
}

function installPeers(): void {
  console.log('bench/peers/node_modules is missing: npm ci installs the libraries there.')
  // npm tells its scripts about their own package, which is another one.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: import.meta.dirname, env, stdio: 'inherit' })
}
