// docs/events.md, as printed: the audit log has its rows, and a stolen token sends one mail.

import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import { createProject, readSnippet } from './project.ts'

test('the audit log and the mail about a stolen token', { timeout: 60_000 }, async (t) => {
  const { folder, write } = createProject(t)
  const strict = 'reuseInterval: 0,\n  onEvent(event) {'
  const audit = readSnippet('docs/events.md', 'audit.ts').replace('onEvent(event) {', strict)
  assert.ok(audit.includes(strict))
  write('audit.ts', audit)
  write('mail.ts', 'export const sendMail = async (...mail: string[]) => void process.send!({ mail })')
  const driver = write(
    'driver.ts',
    `import { DatabaseSync } from 'node:sqlite'
     import { auth } from './audit.ts'
     const { refreshToken } = await auth.issue('ada', { device: { userAgent: 'a phone' } })
     await auth.refresh(refreshToken)
     const error = await auth.refresh(refreshToken, { ip: '192.0.2.7' }).catch(({ code }) => code)
     const rows = new DatabaseSync('./app.db').prepare('SELECT type, subject, detail FROM audit').all()
     process.send!({ error, rows, refreshToken })
     await auth.close()`,
  )
  const { PATH } = process.env
  const child = fork(driver, { cwd: folder, env: { PATH, DAYPASS_SECRET: randomBytes(48).toString('base64') } })
  const messages: any[] = []
  child.on('message', (message) => messages.push(message))
  assert.deepEqual(await once(child, 'exit'), [0, null])
  const mails = messages.filter(({ mail }) => mail).map(({ mail }) => mail)
  assert.deepEqual(mails, [['ada', 'We ended your session on a phone: a copy of it was used from 192.0.2.7.']])
  const { error, rows, refreshToken } = messages.find((message) => message.rows)
  assert.equal(error, 'ERR_REFRESH_TOKEN_REUSED')
  assert.deepEqual(rows.map(({ type, subject }: any) => `${subject} ${type}`).sort(), [
    'ada issued',
    'ada reused',
    'ada revoked',
  ])
  assert.doesNotMatch(JSON.stringify(rows), /dpr_/)
  assert.ok(refreshToken.startsWith('dpr_'))
})
