// Discards a response body that is not read.

/**
 * Ends a body so that it holds no connection. It may be a web stream, or a Node stream as axios returns; other bodies hold
 * none. A short body has arrived completely during the refresh, and then its connection is reused.
 */
export async function discardBody(body: unknown): Promise<void> {
  try {
    const stream = Object(body)
    stream.destroy?.()
    await stream.cancel?.()
  } catch {}
}
