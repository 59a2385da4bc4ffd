// The verifier's part of runtimes.test.ts, in whatever runtime runs it. It is a Worker by itself.

import { createVerifier } from 'daypass/verify'

/** Tokens of another server that a verifier must accept, and others that it must reject. */
export interface ForVerifier {
  issuer: string
  audience: string
  now: number
  jwks: { keys: object[] }
  tokens: Record<string, { right: string; wrong: string }>
}

/** The subject of each right token, and the code of each wrong one. */
export async function verifyAll({ now, tokens, ...given }: ForVerifier) {
  const verifier = createVerifier({ ...given, clock: () => now } as Parameters<typeof createVerifier>[0])
  const told: Record<string, unknown> = {}
  for (const [alg, { right, wrong }] of Object.entries(tokens)) {
    const { subject } = await verifier.verify(right)
    told[alg] = [subject, await verifier.verify(wrong).catch((error) => error.code)]
  }
  return told
}

export default {
  async fetch(request: Request): Promise<Response> {
    return Response.json(await verifyAll((await request.json()) as ForVerifier))
  },
}
