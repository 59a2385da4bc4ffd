// Makes a self-signed certificate with openssl. No private key is in the repository.

import { execFileSync } from 'node:child_process'

/** Writes `key.pem` and `cert.pem` into a folder. */
export function makeCertificate(folder: string): { key: string; cert: string } {
  const [key, cert] = [`${folder}/key.pem`, `${folder}/cert.pem`]
  const out = ['-keyout', key, '-out', cert, '-days', '1', '-subj', '/CN=app.test']
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...out], { stdio: 'ignore' })
  return { key, cert }
}
