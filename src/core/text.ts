// Which texts can every engine keep as they are?

/** What {@link isKeepable} refuses, for messages. */
export const unkeepable = 'NUL, U+FFFE, U+FFFF or half a surrogate pair'

/**
 * Whether a text is the same in every engine. PostgreSQL takes no NUL. Half a surrogate pair becomes U+FFFD on its way to
 * an engine, as U+FFFE and U+FFFF do in SQLite with UTF-16, so two different texts would become one.
 */
export const isKeepable = (text: unknown): text is string =>
  typeof text === 'string' && !/[\0\ufffe\uffff\p{Surrogate}]/u.test(text)

/** Whether this can be a session's subject. */
export const isSubject = (text: unknown): text is string => isKeepable(text) && /^.{1,255}$/su.test(text)

/**
 * A stranger's text as it is kept: its first characters, with U+FFFD for what not every engine can keep. A sign-in must
 * not fail because of a header. Undefined for what is no text.
 */
export const toKeepable = (text: unknown, longest = 255): string | undefined =>
  typeof text === 'string'
    ? text
        .slice(0, longest)
        .toWellFormed()
        .replace(/[\0\ufffe\uffff]/g, '\ufffd')
    : undefined

/** An address as it is kept. The longest one, an IPv6 address with its zone, has some 60 characters. */
export const toIp = (text: unknown) => toKeepable(text, 60)
