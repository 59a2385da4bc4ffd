// What becomes of a response body that nobody will read?

/**
 * Ends a body, so that it holds no connection: a web stream, or a stream of Node's as axios gives; all else holds none. A
 * short body has arrived as a whole by the time that a refresh took, and its connection is used again.
 */
export async function letGo(body: any): Promise<void> {
  try {
    body?.destroy?.()
    await body?.cancel?.()
  } catch {}
}
