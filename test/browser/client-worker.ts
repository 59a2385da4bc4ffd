// The script of the web worker and the service worker in the client's browser tests: a client, driven by messages.

// @ts-expect-error: the snippet of docs/client.md, which the test's build puts in.
import { client } from 'docs:session.ts'
import { driveAxios, driveFetch } from '../client/drivers.ts'

const drivers: Record<string, any> = { fetch: driveFetch(client), axios: driveAxios(client, { adapter: 'fetch' }) }

globalThis.addEventListener('message', (event: any) => {
  const [how, name, given] = event.data
  const work = async () => event.ports[0].postMessage(await drivers[how][name](...given))
  // A service worker may be stopped once its event is over.
  const done = work()
  event.waitUntil?.(done)
})
