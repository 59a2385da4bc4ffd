// Kills and restarts servers of a cluster and counts lost sessions: several server applications on one engine, behind a
// round-robin proxy, under a steady load of clients that store their tokens and retry.

import { randomBytes } from 'node:crypto'
import { Agent, request } from 'node:http'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { type ServerProcess, startServerProcess } from '../server/process.ts'

export interface ScenarioOptions {
  /** DAYPASS_STORE of every server. */
  store: string
  servers: number
  clients: number
  /** The duration of the killing and restarting, in seconds. */
  seconds: number
  /** Another fault, such as a Redis master that dies. Called once, in the middle. */
  disturb?: () => Promise<void>
  /** Called with each event, for the output. */
  say?: (line: string) => void
}

export interface ScenarioResult {
  clients: number
  refreshes: number
  /** Requests that a client had to repeat. */
  retries: number
  kills: number
  /** Clients that got a response that ends their session, with that response. */
  signedOut: string[]
  /** Sessions listed for a client at the end: 1 each. */
  sessions: number[]
}

/** Sends connections to one backend after another, and skips a backend that is down. */
async function roundRobin(ports: number[]): Promise<{ port: number; close(): void }> {
  let next = 0
  const sockets = new Set<Socket>()
  const proxy: Server = createServer((incoming) => {
    sockets.add(incoming)
    incoming.on('error', () => {}).on('close', () => sockets.delete(incoming))
    const attempt = (left: number): void => {
      const port = ports[next++ % ports.length]!
      const outgoing = connect(port, '127.0.0.1')
      outgoing.once('connect', () => {
        outgoing.removeAllListeners('error').on('error', () => incoming.destroy())
        outgoing.on('close', () => incoming.destroy())
        incoming.on('close', () => outgoing.destroy())
        incoming.pipe(outgoing).pipe(incoming)
      })
      outgoing.once('error', () => (left > 0 ? attempt(left - 1) : incoming.destroy()))
    }
    attempt(ports.length - 1)
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  return {
    port: (proxy.address() as { port: number }).port,
    close() {
      proxy.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const apiKey = 'a key for a test of a cluster, no secret'
// One connection for each request, so that each goes to another server.
const agent = new Agent({ keepAlive: false })

async function post(port: number, path: string, body: object, headers: Record<string, string>) {
  const text = JSON.stringify(body)
  return new Promise<{ status: number; body: any }>((resolve, reject) => {
    const sent = request(
      {
        port,
        path,
        method: 'POST',
        agent,
        timeout: 15_000,
        headers: { 'content-type': 'application/json', ...headers },
      },
      (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk) => chunks.push(chunk))
        res.on('error', reject)
        res.on('close', () => (res.complete ? undefined : reject(new Error('half an answer'))))
        res.on('end', () => resolve({ status: res.statusCode!, body: JSON.parse(Buffer.concat(chunks).toString()) }))
      },
    )
    sent.on('timeout', () => sent.destroy(new Error('no answer')))
    sent.on('error', reject)
    sent.end(text)
  })
}

/** The number of live sessions that the server lists for the bearer. Repeated after a 503. */
async function countSessions(port: number, accessToken: string): Promise<number> {
  for (let tries = 0; ; tries++) {
    const headers = { authorization: `Bearer ${accessToken}` }
    const answer = await fetch(`http://127.0.0.1:${port}/auth/sessions`, { headers }).catch(() => undefined)
    if (answer?.status === 200) return ((await answer.json()) as { sessions: unknown[] }).sessions.length
    if (tries === 150) throw new Error(`Sessions are not listed: ${answer?.status} ${await answer?.text()}`)
    await pause(100)
  }
}

export async function runScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { store, clients, seconds, disturb, say = () => {} } = options
  const env = {
    DAYPASS_STORE: store,
    DAYPASS_SECRET: randomBytes(48).toString('base64url'),
    DAYPASS_ISSUER: 'https://cluster.example.com',
    DAYPASS_API_KEY: apiKey.replaceAll(' ', '-'),
    DAYPASS_RATE_LIMIT: 'off',
    DAYPASS_LOG: 'info',
  }
  const servers: ServerProcess[] = []
  const result: ScenarioResult = { clients, refreshes: 0, retries: 0, kills: 0, signedOut: [], sessions: [] }
  let proxy: Awaited<ReturnType<typeof roundRobin>> | undefined
  let over = false

  async function client(port: number, name: string): Promise<void> {
    const bearer = { authorization: `Bearer ${env.DAYPASS_API_KEY}` }
    // If the response to a sign-in is lost, sign in again under another name: the lost session must not count.
    let made = await post(port, '/admin/sessions', { subject: name }, bearer).catch(() => undefined)
    for (let tries = 1; made?.status !== 200; tries++) {
      if (tries === 100) throw new Error(`No session could be made: ${made?.status} ${JSON.stringify(made?.body)}`)
      await pause(200)
      made = await post(port, '/admin/sessions', { subject: `${name}-${tries}` }, bearer).catch(() => undefined)
    }
    let { refreshToken, accessToken } = made.body
    while (!over) {
      const headers = { 'idempotency-key': `"${randomBytes(16).toString('base64url')}"` }
      // The same key until the response arrives, however long that takes.
      for (;;) {
        const answer = await post(port, '/auth/refresh', { refreshToken }, headers).catch(() => undefined)
        if (answer?.status === 200) {
          ;({ refreshToken, accessToken } = answer.body)
          result.refreshes++
          break
        }
        if (answer?.status === 401) {
          result.signedOut.push(`${name}: ${answer.body.code}`)
          return
        }
        result.retries++
        await pause(50 + Math.random() * 100)
      }
      await pause(20)
    }
    result.sessions.push(await countSessions(port, accessToken))
  }

  async function chaos(): Promise<void> {
    const end = Date.now() + seconds * 1000
    let disturbed = disturb === undefined
    while (Date.now() < end) {
      await pause(700 + Math.random() * 600)
      if (!disturbed && Date.now() > end - (seconds * 1000) / 2) {
        disturbed = true
        await disturb!()
      }
      const victim = servers[Math.floor(Math.random() * servers.length)]!
      await victim.stop('SIGKILL')
      result.kills++
      say(`${result.refreshes} refreshes, ${result.retries} asked again, ${result.kills} servers killed`)
      await victim.start()
    }
  }

  try {
    for (let index = 0; index < options.servers; index++) servers.push(await startServerProcess(env))
    proxy = await roundRobin(servers.map(({ url }) => Number(new URL(url).port)))
    const running = Array.from({ length: clients }, (_, index) => client(proxy!.port, `person-${index}`))
    await chaos()
    over = true
    await Promise.all(running)
    return result
  } finally {
    over = true
    proxy?.close()
    await Promise.all(servers.map((server) => server.remove()))
  }
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))
