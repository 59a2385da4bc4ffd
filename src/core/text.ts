// The strings that every engine can store unchanged.

/** The characters that {@link isStorable} rejects, for messages. */
export const unstorable = 'NUL, U+FFFE, U+FFFF or unpaired surrogates'

/**
 * Whether every engine stores this string unchanged. PostgreSQL rejects NUL. An unpaired surrogate becomes U+FFFD on its
 * way to an engine, as U+FFFE and U+FFFF do in SQLite with UTF-16, so two different strings would become one.
 */
export const isStorable = (text: unknown): text is string =>
  typeof text === 'string' && !/[\0\ufffe\uffff\p{Surrogate}]/u.test(text)

/** Whether this can be a session's subject. */
export const isSubject = (text: unknown): text is string => isStorable(text) && /^.{1,255}$/su.test(text)

/**
 * The stored form of a string from a request header: its first characters, with U+FFFD for characters that not every engine
 * can store. A sign-in must not fail because of a header. Undefined if it is not a string.
 */
export const toStorable = (text: unknown, maxLength = 255): string | undefined =>
  typeof text === 'string'
    ? text
        .slice(0, maxLength)
        .toWellFormed()
        .replace(/[\0\ufffe\uffff]/g, '\ufffd')
    : undefined

/** The stored form of an IP address. The longest one, an IPv6 address with its zone, has about 60 characters. */
export const toIp = (text: unknown) => toStorable(text, 60)
