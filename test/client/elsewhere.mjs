// What runtimes.test.ts runs in Node, Bun and Deno alike: a session from sign-in to sign-out, with the published client.
// Its arguments: the client's entry, the server's address.

const [entry, url] = globalThis.Deno?.args ?? process.argv.slice(2)
const { createClient, isSignedOut } = await import(entry)

const kept = new Map()
const options = { baseUrl: `${url}/auth`, storage: kept, refreshTimeout: 1000 }
const client = createClient(options)
const states = []
const unsubscribe = client.subscribe(() => states.push(client.getSession().status))

const call = async (from, body) => (await (await from.fetch(`${url}/api/echo`, { method: 'POST', body })).json()).body

await client.signIn({ password: 'right' })
const told = {
  posted: await call(client, 'first'),
  // The server's clock moves on: all of these are refused once, and one refresh is lost on the way.
  ended: await fetch(`${url}/api/expire`).then((response) => response.status),
  ten: await Promise.all(Array.from({ length: 10 }, (_, n) => call(client, `body ${n}`))),
  // A process that begins anew with what was kept.
  again: await call(createClient(options), 'again'),
}
await client.signOut()
told.after = await client.getAccessToken().catch((error) => isSignedOut(error) && error.reason)
unsubscribe()
told.states = [...new Set(states)]
console.log(JSON.stringify(told))
