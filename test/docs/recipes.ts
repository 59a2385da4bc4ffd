// Shared by the tests of the recipes: the snippets of a page, as printed, with a real server in the place of the page's.

import type { DaypassClient } from '../../src/client/index.ts'
import { type DaypassServer, startDaypass } from '../client/daypass-server.ts'
import { createProject, readSnippet } from './project.ts'

/** Writes these snippets into a project with these packages, and imports them. The first one is `client.ts`. */
export async function loadRecipe(
  t: { after(work: () => unknown): unknown },
  page: string,
  { files, packages }: { files: string[]; packages: string[] },
) {
  const server = await startDaypass(t)
  const { write } = createProject(t, packages)
  const paths = ['client.ts', ...files].map((file) => write(file, atServer(readSnippet(page, file), server)))
  const modules: any[] = []
  for (const path of paths) modules.push(await import(path))
  const [{ client }] = modules as [{ client: DaypassClient }]
  await client.signIn({ password: 'right' })
  server.seen.length = 0
  return { server, client, exports: modules[0], modules: modules.slice(1), write }
}

/** The page's API is `/api` of the server here. The client does not wait between two attempts. */
export const atServer = (code: string, { url }: Pick<DaypassServer, 'url'>) =>
  code
    .replace("createClient({ baseUrl: 'https://api.example.com/auth'", '$&, sleep: async () => {}')
    .replaceAll('https://api.example.com/auth', `${url}/auth`)
    .replaceAll('https://api.example.com', `${url}/api`)
