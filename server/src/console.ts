// Serves the console page, which Vite builds, by @fastify/static.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import staticFiles from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'

const policy = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

// Run from its sources (server/src) or built (server/dist), the page is in server/dist/console.
const folder = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../dist/console/' : './console/', import.meta.url),
)

/** The page at `/`, and its files. */
export const consolePage: FastifyPluginAsync = async (app) => {
  if (!existsSync(folder)) {
    app.get('/', (_request, reply) =>
      reply
        .code(503)
        .type('text/plain; charset=utf-8')
        .send('The console is not built: run `npm run build:console`.\n'),
    )
    return
  }
  app.register(staticFiles, {
    root: folder,
    // Paths of the files that exist at the start. All others get the server's own 404.
    wildcard: false,
    cacheControl: false,
    setHeaders(reply, path) {
      // Vite names assets by their content. Browsers must revalidate the page that names them, and the drawings.
      const cache = /[/\\]assets[/\\]/.test(path) ? 'public, max-age=31536000, immutable' : 'no-cache'
      for (const [name, value] of Object.entries({ ...policy, 'cache-control': cache })) reply.header(name, value)
    },
  })
}
