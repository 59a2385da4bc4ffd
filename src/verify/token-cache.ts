// A cache of verified tokens.

/** A bounded cache of verified tokens. Only verified tokens are added, so that garbage cannot fill it. */
export interface TokenCache<T> {
  get(token: string): T | undefined
  set(token: string, value: T): void
}

/**
 * The key is the token's last 24 characters (144 bits of its signature), because hashing 400 characters is most of the cost
 * of a look-up. The full token is then compared. Two tokens with the same end replace one another. When the cache is full,
 * the oldest entry is deleted.
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
      if (entries.size >= maxEntries) {
        const oldest = entries.keys().next()
        if (!oldest.done) entries.delete(oldest.value)
      }
      entries.set(token.slice(-24), { token, value })
    },
  }
}
