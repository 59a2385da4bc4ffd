// The settings of the servers that the benchmark starts: one JSON argument of the process.

export type Algorithm = 'EdDSA' | 'HS256'
export type Framework = 'node' | 'express' | 'fastify'

/** `store`: `memory:`, the path of a SQLite file, or the URL of an engine. */
export interface ServerSettings {
  algorithm: Algorithm
  store: string
  /** The database of a MongoDB, which its URL does not name. */
  database?: string
  framework?: Framework
}

export const readSettings = (): ServerSettings => JSON.parse(process.argv[2]!)

/** Says where a server listens, in the line that the benchmark waits for. */
export function sayListening(port: number): void {
  console.log(JSON.stringify({ message: 'listening', url: `http://localhost:${port}` }))
}
