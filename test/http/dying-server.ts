// A server over SQLite in a process of its own, so that a test can kill it at any moment.
//
//   node dying-server.ts <database> <flag file> <milliseconds that its clock is ahead>
//
// While the flag file is there, the process dies at its next refresh: `before` the store's commit or `after` it.

import { existsSync, readFileSync } from 'node:fs'
import { createNodeAuth } from '../../src/adapters/node.ts'
import { createSqliteStore } from '../../src/stores/sqlite.ts'
import { authenticate, listen, makeDaypass } from './server.ts'

const [database = '', flag = '', ahead = '0'] = process.argv.slice(2)

// Only where a test forked it, and not where a test runner looks into every file.
if (process.send) {
  const sqlite = createSqliteStore(database)
  const dieIf = (moment: string) => {
    if (existsSync(flag) && readFileSync(flag, 'utf8') === moment) process.kill(process.pid, 'SIGKILL')
  }
  const { auth, time } = makeDaypass({
    store: {
      ...sqlite,
      async advance(step) {
        dieIf('before')
        const advanced = await sqlite.advance(step)
        dieIf('after')
        return advanced
      },
    },
  })
  time.offset = Number(ahead)
  const web = createNodeAuth(auth, { authenticate, cookie: { name: 'daypass' } })
  const { origin } = await listen(async (req, res) => void (await web.routes(req, res)))
  process.send(origin)
}
