// Serves the app of elsewhere-app.ts in Bun or Deno, and says its port.

import { createApp } from './elsewhere-app.ts'

const { Bun, Deno } = globalThis as any
const [kind, address] = (Bun?.argv ?? ['', '', ...Deno.args]).slice(2)
const app = createApp(await openStore(kind, address))
if (Bun) {
  const { port } = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request: Request, server: any) => app(request, server.requestIP(request)?.address),
  })
  console.log(port)
} else {
  Deno.serve(
    { port: 0, hostname: '127.0.0.1', onListen: ({ port }: { port: number }) => console.log(port) },
    (request: Request, { remoteAddr }: any) => app(request, remoteAddr.hostname),
  )
}

async function openStore(kind: string, address: string) {
  if (kind === 'sqlite') return (await import('daypass/sqlite')).createSqliteStore(address)
  if (kind === 'postgres') {
    const { default: pg } = await import('pg')
    return (await import('daypass/postgres')).createPostgresStore(new pg.Pool({ connectionString: address }))
  }
  if (kind === 'redis') {
    const { createClient } = await import('redis')
    const client = createClient({ url: address })
    await client.connect()
    return (await import('daypass/redis')).createRedisStore(client)
  }
}
