// Browsers that have signed in to an account before, recognized by a signed cookie.

import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

const name = 'daypass-device'

/** The known browsers. Nothing is stored: a cookie is checked by its signature. */
export interface Devices {
  /** The id of a browser that has signed in to this address before, by its `Cookie` header. */
  find(cookies: string | undefined, email: string): string | undefined
  /** The `Set-Cookie` value for a browser that has signed in. It keeps the id that it has. */
  remember(cookies: string | undefined, email: string, secure: boolean): string
}

/** @param secrets The server's secrets. The first one signs. */
export function createDevices(secrets: readonly [string, ...string[]]): Devices {
  const derive = (secret: string) => Buffer.from(hkdfSync('sha256', secret, '', 'daypass-server device', 32))
  const newest = derive(secrets[0])
  const keys = secrets.map(derive)
  const sign = (key: Buffer, email: string, id: string) => createHmac('sha256', key).update(`${id} ${email}`).digest()

  function find(cookies: string | undefined, email: string): string | undefined {
    const [, id = '', signature = ''] =
      /(?:^|; *)daypass-device=([\w-]{22})\.([\w-]{43})(?:;|$)/.exec(cookies ?? '') ?? []
    const given = Buffer.from(signature, 'base64url')
    return given.length === 32 && keys.some((key) => timingSafeEqual(sign(key, email, id), given)) ? id : undefined
  }

  return {
    find,
    remember(cookies, email, secure) {
      const id = find(cookies, email) ?? randomBytes(16).toString('base64url')
      const value = `${id}.${sign(newest, email, id).toString('base64url')}`
      return `${name}=${value}; Path=/auth; Max-Age=31536000; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
    },
  }
}
