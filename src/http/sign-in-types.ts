// The types of a sign-in over HTTP.

import type { IssueOptions } from '../core/api.ts'
import type { Claims } from '../core/session.ts'
import type { OptionNames } from '../known-options.ts'

/** How the refresh token travels: in a cookie that script cannot read (browsers), or in JSON (everything else). */
export type Transport = 'cookie' | 'body'

/** The person who signed in, and what the session should know. */
export interface Person<C = Claims, User = unknown> extends IssueOptions<C> {
  /** The person or account: a string of 1 to 255 characters. */
  subject: string
  /** Returned to the caller beside the tokens. Default: the `user` of `findSubject`, which is not asked if claims are given. */
  user?: User
}

/**
 * The person who signed in. The claims are required if their type has required members, unless `findSubject` provides
 * them (`Finds`).
 */
export type SignIn<C = Claims, User = unknown, Finds extends boolean = false> = Person<C, User> &
  (true extends Finds ? unknown : Partial<C> extends C ? unknown : { claims: C })

/** How a response to a sign-in is made. */
export interface SignInOptions {
  /** Default: the one that the request asks for, as the client does, or else the `transport` option. */
  transport?: Transport
  /**
   * Answers with a redirect (303) and the cookie instead of JSON, for HTML forms and for the callbacks of identity providers
   * and magic links. A GET that loads a page may then come from another site.
   *
   * A path of this server (`/home`), or an address at its own origin or at one that `origins` lists. Anything else is
   * `ERR_REDIRECT_REFUSED`, and no session begins. Of a list, the first entry that is allowed counts:
   * `[req.query.next, '/']`.
   */
  redirect?: string | readonly unknown[]
  /**
   * With `redirect`, also lets in a form that a page of another site posts, as SAML and `response_mode=form_post` do. Set it
   * only where the app has verified by `state` or `RelayState` that this browser began the sign-in. Otherwise any page could
   * sign its visitors in as somebody else. Default false.
   */
  crossSitePost?: boolean
}

/** The names of the options of a sign-in. */
export const signInOptions: OptionNames<SignInOptions> = { transport: true, redirect: true, crossSitePost: true }

/** How a response to a sign-out is made. */
export interface SignOutOptions {
  /**
   * Answers with a redirect (303) instead of 204, for an HTML form of the app's own page. Ends the session of the cookie and
   * reads no body. May lead where a sign-in may.
   */
  redirect?: string | readonly unknown[]
}

/** The names of the options of a sign-out. */
export const signOutOptions: OptionNames<SignOutOptions> = { redirect: true }

/** The request of a sign-in, as `authenticate` sees it. */
export interface SignInRequest {
  /** The caller's address. */
  ip?: string | undefined
  /** The caller's `User-Agent`. */
  userAgent?: string | undefined
  /** The value of a header, by its name in lower case. */
  header(name: string): string | undefined
}
