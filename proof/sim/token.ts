// Reads the public parts of refresh tokens and of Idempotency-Key headers, for the story and for the checks.

const decode = (token: string) => Buffer.from(token.slice(4), 'base64url')

export const generationOf = (token: string): number => decode(token).readUInt32BE(18)
export const sessionIdOf = (token: string): string => decode(token).toString('base64url', 2, 18)

/** The refresh token in a cookie or a body, as the client sent it. */
export const findToken = (text: string): string | undefined => /(dpr_[\w-]+)/.exec(text)?.[1]
/** The same, unless the text was cut in the middle of the token. */
export const findWholeToken = (text: string): string | undefined => /(dpr_[\w-]{83})/.exec(text)?.[1]

/** The keys in an Idempotency-Key header: the pending one, then the previous one. */
export const keysOf = (header = ''): string[] => [...header.matchAll(/"([^"]+)"/g)].map(([, key]) => key ?? '')
