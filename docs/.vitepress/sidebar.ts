// The sections of the site and their pages, in order. The reference of the types is made by `npm run docs`.

export interface Section {
  text: string
  items: { text: string; link: string }[]
}

const section = (text: string, pages: Record<string, string>): Section => ({
  text,
  items: Object.entries(pages).map(([page, text]) => ({ text, link: `/${page}` })),
})

export const sections: Section[] = [
  section('Start here', {
    start: 'The first five minutes',
    'server-application': 'The server application',
    glossary: 'Glossary',
  }),
  section('Add it to your framework', {
    frameworks: 'Express, Fastify, Hono, Koa, NestJS …',
    ssr: 'Next.js, SvelteKit, Nuxt, React Router',
    'sign-in': 'Google, SAML, passport, magic links',
    adopt: 'An older app’s refresh tokens',
    origins: 'Another origin, CORS',
    modules: 'require, TypeScript, Jest, bundlers',
    'testing-your-app': 'Testing your app',
  }),
  section('The client', {
    client: 'Pages, React, Node, React Native',
    recipes: 'TanStack Query, SWR, Apollo, tRPC …',
    'recipes-components': 'Vue, Svelte, Solid',
    'recipes-connections': 'WebSockets, socket.io',
    bff: 'A server that holds the tokens',
  }),
  section('Databases', {
    sqlite: 'SQLite',
    libsql: 'Turso, libSQL, Cloudflare D1',
    postgres: 'PostgreSQL',
    mysql: 'MySQL, MariaDB',
    redis: 'Redis',
    mongodb: 'MongoDB',
    orm: 'Kysely, Drizzle, Prisma',
  }),
  section('Reference', {
    server: 'The server',
    options: 'Options',
    http: 'HTTP',
    errors: 'Errors',
    events: 'Events',
    'reference/': 'Every export',
  }),
  section('How it works', {
    'how-it-works': 'Drawn: loss, race, theft',
    protocol: 'Exactly-once refresh',
  }),
  section('Operations', {
    operations: 'Deploy, back up, upgrade',
    proxy: 'Behind a proxy',
    keys: 'Rotate secrets and keys',
    scaling: 'Scale',
    performance: 'Performance',
  }),
  section('Security', {
    security: 'Attacks and their tests',
    'threat-model': 'Threat model',
    testing: 'How it is tested',
  }),
  section('Why Daypass', {
    why: 'Faults of other clients',
    comparison: 'Comparison',
    decisions: 'Decisions',
  }),
]
