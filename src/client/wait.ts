// How long does anybody wait, and what makes them stop?

/** The promise's outcome, or the signal's reason as soon as it aborts. What the promise is about goes on. */
export function orAbort<T>(promise: Promise<T>, signal?: AbortSignal | null): Promise<T> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** The controller's signal, which aborts after so many milliseconds; in Node that keeps no process alive. */
export function abortAfter(milliseconds: number, controller = new AbortController()): AbortSignal {
  const timer: { unref?(): void } | number = setTimeout(() => controller.abort({ name: 'TimeoutError' }), milliseconds)
  ;(timer as { unref?(): void }).unref?.()
  return controller.signal
}
