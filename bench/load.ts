// The load, in a process of its own, with one keep-alive connection for each chain.
//
// A chain sends a request, reads from the response what to send next, and sends that. It uses bare sockets and indexOf, so
// that the server under test is the busy one.

import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createRequest, isComplete, type RequestKind, readNext } from './requests.ts'

/** One measurement. */
export interface LoadJob {
  port: number
  path: string
  request: RequestKind
  /** The server's process id: its CPU time is read where the system reports it. */
  pid: number
  /** What each chain sends first: its refresh token, its access token, or its cookies. */
  tokens: string[]
  /** Milliseconds. */
  warmUp: number
  /** Milliseconds. */
  time: number
}

/** The result of one measurement. */
export interface LoadResult {
  perSecond: number
  /** Microseconds of the server's CPU time a request; NaN where the system does not report it. */
  cpu: number
  /** How busy the server's process was: 1 is one core. */
  busy: number
  /** Milliseconds from sending the request to the end of the response. */
  p50: number
  p99: number
  /** With which the chains go on in the next measurement. */
  tokens: string[]
}

export type LoadFigure = Exclude<keyof LoadResult, 'tokens'>

let requests = 0
let latencies: number[] = []
let failed: string | undefined

process.on('message', async (job: LoadJob) => {
  failed = undefined
  const chains = await Promise.all(job.tokens.map((token) => openChain(job, token)))
  await delay(job.warmUp)
  requests = 0
  latencies = []
  const cpuBefore = cpuSeconds(job.pid)
  const started = performance.now()
  await delay(job.time)
  const seconds = (performance.now() - started) / 1000
  const cpu = cpuSeconds(job.pid) - cpuBefore
  const done = requests
  const sorted = Float64Array.from(latencies).sort()
  const tokens = await Promise.all(chains.map((close) => close()))
  if (failed !== undefined) {
    process.send!({ failed })
    return
  }
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  process.send!({
    perSecond: done / seconds,
    cpu: (cpu * 1e6) / done,
    busy: cpu / seconds,
    p50: at(0.5),
    p99: at(0.99),
    tokens,
  } satisfies LoadResult)
})

/** Starts a chain. The function that it returns ends the chain after its current response, and returns its next token. */
function openChain(job: LoadJob, first: string): Promise<() => Promise<string>> {
  const socket = connect(job.port, '127.0.0.1').setNoDelay(true).setEncoding('latin1')
  let text = ''
  let token = first
  let sentAt = 0
  let closing = false
  let closed = (_token: string) => {}

  function send(next: string): void {
    token = next
    sentAt = performance.now()
    socket.write(createRequest(job, token), 'latin1')
  }

  socket.on('data', (chunk) => {
    text += chunk
    const headEnd = text.indexOf('\r\n\r\n')
    if (headEnd === -1 || !isComplete(text, headEnd)) return
    const next = text.startsWith('HTTP/1.1 200') ? readNext(job, text, headEnd, token) : undefined
    if (next === undefined) failed ??= text
    requests++
    latencies.push(performance.now() - sentAt)
    text = ''
    if (next !== undefined && !closing && failed === undefined) return send(next)
    socket.destroy()
    closed(next ?? token)
  })
  socket.on('error', (error) => {
    failed ??= String(error)
    closed(first)
  })
  return new Promise((resolve) => {
    socket.on('connect', () => {
      send(first)
      resolve(
        () =>
          new Promise((done) => {
            closed = done
            closing = true
            if (socket.destroyed) done(first)
          }),
      )
    })
  })
}

/** User and system time of a process, from Linux's /proc, in its ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
