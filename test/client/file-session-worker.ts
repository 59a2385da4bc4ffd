// A program that shares its session's file with others, and refreshes again and again on request.

import { createFileStorage } from '../../src/client/file-storage.ts'
import { createClient, isOffline } from '../../src/client/index.ts'

const [path, url] = process.argv.slice(2) as [string, string]
process.on('disconnect', () => process.exit())
const client = createClient({ baseUrl: `${url}/auth`, storage: createFileStorage(path), refreshTimeout: 2000 })

let isOn = false
process.on('message', async (message) => {
  isOn = message === 'go'
  if (!isOn) return
  let refreshes = 0
  let over: string | undefined
  while (isOn && over === undefined) {
    try {
      await client.getAccessToken({ forceFresh: true })
      refreshes++
    } catch (error) {
      if (!isOffline(error)) over = `${error}`
    }
  }
  process.send!({ refreshes, over })
})
