// Has this exact token been verified already?

/** A bounded memory of verified tokens. Only what was verified goes in, so nobody fills it with rubbish. */
export interface TokenCache<T> {
  get(token: string): T | undefined
  set(token: string, value: T): void
}

/**
 * Keyed by the token's last 24 characters (144 bits of its signature), because hashing 400 characters is what a look-up
 * costs; the full text decides. Two tokens with one tail only replace one another. The oldest goes when it is full.
 */
export function createTokenCache<T>(maxEntries: number): TokenCache<T> {
  const entries = new Map<string, { token: string; value: T }>()
  return {
    get(token) {
      const entry = entries.get(token.slice(-24))
      return entry !== undefined && entry.token === token ? entry.value : undefined
    },
    set(token, value) {
      if (maxEntries === 0) return
      if (entries.size >= maxEntries) entries.delete(entries.keys().next().value!)
      entries.set(token.slice(-24), { token, value })
    },
  }
}
