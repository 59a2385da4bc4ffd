// A real nginx for tests, in a new folder, with TLS and a certificate made for the run.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from './certificate.ts'
import { env, startEngine } from './engine-process.ts'
import { freePort } from './free-port.ts'

const notRun = 'not run: nginx or openssl is not installed (apt-get install nginx openssl)'

/** The reason why tests that need nginx are skipped, or false. In CI a missing nginx is a failure. */
export const nginxMissing: string | false = (() => {
  try {
    execFileSync('nginx', ['-v'], { env, stdio: 'ignore' })
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
  const server = await startEngine('nginx', ['-p', folder, '-c', `${folder}/nginx.conf`], () => isOpen(port))
  return {
    port,
    async remove() {
      await server.stop('SIGKILL')
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
