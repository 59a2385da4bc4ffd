// Where does the console page come from? Built by Vite, read once, served from memory.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'

interface Asset {
  headers: Record<string, string>
  body: Buffer
}

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

const security = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** The console's files by their paths; empty where it was not built. */
export function loadConsole(): Map<string, Asset> {
  // Run from sources or from the package, the built page is in the package's dist/console.
  const folder = new URL(import.meta.url.endsWith('.ts') ? '../../dist/console/' : '../console/', import.meta.url)
  const assets = new Map<string, Asset>()
  if (!existsSync(folder)) return assets
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    const type = types[extname(name)]
    if (type === undefined) continue
    const isPage = name === 'index.html'
    const path = isPage ? '/' : `/${name.replaceAll('\\', '/')}`
    // Vite names assets by their content; the page that names them is asked for anew.
    const cache = isPage ? 'no-cache' : 'public, max-age=31536000, immutable'
    const headers = { 'content-type': type, 'cache-control': cache, ...security }
    assets.set(path, { headers, body: readFileSync(new URL(name, folder)) })
  }
  return assets
}
