// The ways in that the server offers.

interface Offers {
  registration: boolean
  trial: boolean
}

/** Asks the server. Without an answer every way is shown, and says at the click what is wrong. */
export async function findOffers(): Promise<Offers> {
  const response = await fetch('/auth/offers').catch(() => undefined)
  return response?.ok ? response.json() : { registration: true, trial: true }
}
