// What does an operator read? One JSON object a line, on standard output.

/** How much is said. `debug` adds every refresh. */
export type LogLevel = 'debug' | 'info' | 'error' | 'off'

/** Writes lines. Fields must hold no secret: events and error codes hold none. */
export interface Log {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

const order: LogLevel[] = ['debug', 'info', 'error', 'off']

export function createLog(level: LogLevel, write: (line: string) => void = (line) => process.stdout.write(line)): Log {
  const at = (name: LogLevel) => {
    if (order.indexOf(name) < order.indexOf(level)) return () => {}
    return (message: string, fields: object = {}) =>
      write(`${JSON.stringify({ time: new Date().toISOString(), level: name, message, ...fields })}\n`)
  }
  return { debug: at('debug'), info: at('info'), error: at('error') }
}

/** An error and what caused it, as fields: names, codes, texts and places. */
export function errorFields(error: unknown): object {
  // Stores give what their engine said as a text: the engine's own error may hold rows or a password.
  if (typeof error === 'string') return { reason: error }
  if (!(error instanceof Error)) return { error: typeof error }
  const { name, code, message, stack, cause } = error as Error & { code?: string }
  const place = stack
    ?.split('\n')
    .slice(1, 4)
    .map((line) => line.trim())
  return { error: name, code, reason: message, place, ...(cause !== undefined && { cause: errorFields(cause) }) }
}
