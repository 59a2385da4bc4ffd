// Another process that writes texts of one repeated letter to the file until it is killed.

import { createFileStorage } from '../../src/client/file-storage.ts'

process.on('disconnect', () => process.exit())
const storage = createFileStorage(process.argv[2]!)
for (let i = process.pid; ; i++) await storage.set('a', String.fromCharCode(97 + (i % 26)).repeat(1000))
