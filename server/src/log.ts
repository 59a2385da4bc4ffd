// The log: one JSON object a line on standard output, by pino.

import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { isDaypassError } from 'daypass'
import { type DestinationStream, type Logger, pino } from 'pino'

/** How much is logged. `debug` adds every refresh. */
export type LogLevel = 'debug' | 'info' | 'error' | 'off'

/** Fields must contain no secret. Events and error codes contain none. */
export type Log = Logger

/** The log of a process. */
export interface ProcessLog {
  log: Log
  /** Writes the last lines in their order, which `process.exit` alone does not. A reader that stands still gets three seconds. */
  close(): Promise<void>
}

/** Bytes of lines that standard output has not taken yet. A reader that stands still would keep them all in memory. */
const mostUnwritten = 4_194_304

/**
 * Writes lines to standard output. If its reader ends or stands still, or its disk is full, the server continues without a
 * log.
 */
export function openLog(level: LogLevel): ProcessLog {
  // Node makes a pipe non-blocking when it is first named. A write that blocks would keep the process from ending.
  void process.stdout
  const stdout = pino.destination({ dest: 1, maxLength: mostUnwritten })
  const log = createLog(level, stdout)
  let hasReader = true
  let leftOut = 0
  stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code === 'EPIPE') hasReader = false
  })
  stdout.on('drop', () => leftOut++)
  stdout.on('drain', () => {
    if (leftOut === 0) return
    log.error({ leftOut }, 'lines of the log were left out')
    leftOut = 0
  })
  // At the exit pino would write the lines that are left, and try for ever where it cannot. `close` has written them before.
  process.prependListener('exit', () => stdout.destroy())
  return {
    log,
    async close() {
      log.level = 'silent'
      if (!hasReader) return
      // Its reader may end meanwhile, and its disk may be full.
      const closed = once(stdout, 'close').catch(() => {})
      stdout.end()
      await Promise.race([closed, delay(3000)])
    },
  }
}

/** Writes lines to a destination. */
export function createLog(level: LogLevel, destination: DestinationStream): Log {
  const options = {
    level: level === 'off' ? 'silent' : level,
    base: null,
    messageKey: 'message',
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return pino(options, destination)
}

/** Logs the server's own errors. */
export type LogError = (message: string, error: unknown) => void

/**
 * Logs errors. A database that is unavailable, rejects the password or has an unknown certificate fails every call and every
 * attempt to connect, and a stranger can overload a server. So each kind of error is logged once a minute at most, with the
 * number of those left out.
 */
export function createErrorLog(log: Log, clock: () => number = Date.now): LogError {
  const seen = new Map<string, { at: number; repeated: number }>()
  return (message, error) => {
    const kind = kindOf(error)
    const last = seen.get(kind)
    // A clock that was set back counts as a minute that has passed.
    if (last !== undefined && Math.abs(clock() - last.at) < 60_000) {
      last.repeated++
      return
    }
    seen.delete(kind)
    // Few errors are different. Forget the oldest, in case a driver puts names into its messages.
    const [oldest] = seen.keys()
    if (seen.size >= 100 && oldest !== undefined) seen.delete(oldest)
    seen.set(kind, { at: clock(), repeated: 0 })
    log.error({ ...errorFields(error), ...(last !== undefined && { repeated: last.repeated }) }, message)
  }
}

/**
 * Names the kind of an error by its innermost cause. A driver's are one kind wherever they come from: by code or text, without
 * the numbers that differ from call to call. The server's own are one kind for each place: a request may be in their texts.
 */
function kindOf(error: unknown): string {
  let inner = error
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause
  const { code, message, stack } = (inner ?? {}) as { code?: unknown; message?: unknown; stack?: unknown }
  if (isDaypassError(error) && !error.code.startsWith('ERR_STORE_')) return [error.code, placesIn(stack)[0]].join(' ')
  return String(code ?? message ?? inner).replaceAll(/\d+/g, '0')
}

/** An error and its causes, as fields: names, codes, texts and places. No other property, because drivers put URLs there. */
function errorFields(error: unknown): object {
  if (typeof error === 'string') return { reason: error }
  if (!(error instanceof Error)) return { error: typeof error }
  const { name, code, message, stack, cause } = error as Error & { code?: string }
  const place = placesIn(stack).slice(0, 3)
  return { error: name, code, reason: message, place, ...(cause !== undefined && { cause: errorFields(cause) }) }
}

const placesIn = (stack: unknown): string[] =>
  String(stack)
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .map((line) => line.trim())
