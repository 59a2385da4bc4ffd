// Which texts can every engine keep as they are?

/**
 * Whether a text is the same in every engine. PostgreSQL takes no NUL. Half a surrogate pair becomes U+FFFD on its way to
 * an engine, so two different texts would become one.
 */
export const isKeepable = (text: unknown): text is string =>
  typeof text === 'string' && !/[\0\p{Surrogate}]/u.test(text)

/** Whether this can be a session's subject. */
export const isSubject = (text: unknown): text is string =>
  typeof text === 'string' && /^[^\0\p{Surrogate}]{1,255}$/u.test(text)

/**
 * A stranger's text as it is kept: its first characters, with U+FFFD for what no engine can keep. A sign-in must not fail
 * because of a header. Undefined for what is no text.
 */
export const toKeepable = (text: unknown, longest = 255): string | undefined =>
  typeof text === 'string' ? text.slice(0, longest).toWellFormed().replaceAll('\0', '\ufffd') : undefined

/** An address as it is kept. The longest one, an IPv6 address with its zone, has some 60 characters. */
export const toIp = (text: unknown) => toKeepable(text, 60)
