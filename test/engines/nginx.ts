// A real nginx for tests, in a new folder, with TLS and a certificate made for the run.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from './certificate.ts'
import { waitUntil } from './redis.ts'

const notRun = 'not run: nginx or openssl is not installed (apt-get install nginx openssl)'

/** The reason why tests that need nginx are skipped, or false. In CI a missing nginx is a failure. */
export const nginxMissing: string | false = (() => {
  try {
    execFileSync('nginx', ['-v'], { stdio: 'ignore' })
    execFileSync('openssl', ['version'], { stdio: 'ignore' })
    return false
  } catch (error) {
    if (process.env.CI) throw new Error(notRun, { cause: error })
    return notRun
  }
})()

export interface Nginx {
  port: number
  remove(): Promise<void>
}

/** Stops the nginx of a test that fails or is terminated. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts one server with one `location /` that has the given lines, such as `proxy_pass http://127.0.0.1:3000;`. */
export async function startNginx(location: string, { tls }: { tls: boolean }): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'daypass-nginx-'))
  const port = await freePort()
  if (tls) makeCertificate(folder)
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (kind) => `${kind}_temp_path ${folder}/${kind};`,
  )
  const ssl = tls ? `ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;` : ''
  writeFileSync(
    `${folder}/nginx.conf`,
    `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; ${paths.join(' ')}
      server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''}; ${ssl} location / { ${location} } }
    }`,
  )
  const child = spawn('nginx', ['-p', folder, '-c', `${folder}/nginx.conf`], { stdio: ['ignore', 'ignore', 'pipe'] })
  running.add(child)
  let output = ''
  child.stderr.on('data', (text) => {
    output += text
  })
  const gone = new Promise((resolve) => child.once('exit', resolve)).then(() => running.delete(child))
  try {
    await waitUntil(() => isOpen(port))
  } catch (error) {
    throw new Error(`nginx does not start (exit code ${child.exitCode}):\n${output}`, { cause: error })
  }
  return {
    port,
    async remove() {
      child.kill('SIGKILL')
      await gone
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    }).once('error', () => resolve(false))
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
