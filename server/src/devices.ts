// Browsers that have signed in to an account before, recognized by a signed cookie.

import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Account } from './account-store.ts'

const name = 'daypass-device'

/** A browser that has signed in to an address before. */
export interface Device {
  id: string
  /** Whether it did so with the password that is stored as this hash. */
  knew(passwordHash: string): boolean
}

/** The known browsers. Nothing is stored: a cookie is checked by its signature. */
export interface Devices {
  /** The browser of a `Cookie` header, for an address. Several, if somebody else planted cookies of the name. */
  find(cookies: string, email: string): Device[]
  /** The `Set-Cookie` value for a browser that has signed in. It keeps the id that it has. */
  remember(cookies: string, account: Pick<Account, 'email' | 'passwordHash'>, secure: boolean): string
}

/** @param secrets The server's secrets. The first one signs. */
export function createDevices(secrets: readonly [string, ...string[]]): Devices {
  const derive = (secret: string) => Buffer.from(hkdfSync('sha256', secret, '', 'daypass-server device', 32))
  const newest = derive(secrets[0])
  const keys = secrets.map(derive)
  const sign = (key: Buffer, email: string, value: string) =>
    createHmac('sha256', key).update(`${value} ${email}`).digest()

  function find(cookies: string, email: string): Device[] {
    const all = cookies.matchAll(/(?<=^|; *)daypass-device=(([\w-]{22})\.([\w-]{22}))\.([\w-]{43})(?=;|$)/g)
    return [...all].flatMap(([, value = '', id = '', mark = '', signature = '']) => {
      const given = Buffer.from(signature, 'base64url')
      const isOurs = given.length === 32 && keys.some((key) => timingSafeEqual(sign(key, email, value), given))
      return isOurs ? [{ id, knew: (passwordHash: string) => markOf(passwordHash) === mark }] : []
    })
  }

  return {
    find,
    remember(cookies, { email, passwordHash }, secure) {
      const id = find(cookies, email)[0]?.id ?? randomBytes(16).toString('base64url')
      const value = `${id}.${markOf(passwordHash)}`
      const signed = `${value}.${sign(newest, email, value).toString('base64url')}`
      return `${name}=${signed}; Path=/auth; Max-Age=31536000; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
    },
  }
}

/** Names a stored hash. Its salt is random, so the name says nothing of the password. */
const markOf = (passwordHash: string) => createHash('sha256').update(passwordHash).digest('base64url').slice(0, 22)
