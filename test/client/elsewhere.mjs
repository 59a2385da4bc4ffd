// What runtimes.test.ts runs in Node, Bun and Deno. Its arguments: the client's entry, the server's address.

import { live } from './live.ts'

const [entry, url] = globalThis.Deno?.args ?? process.argv.slice(2)
console.log(JSON.stringify(await live(await import(entry), url)))
