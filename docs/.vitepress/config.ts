// The site of the documentation: docs/*.md as they are, the generated reference, and a search that works offline.

import { defineConfig } from 'vitepress'
import { repositoryUrl, slugify } from './links.ts'
import { sections } from './sidebar.ts'

export default defineConfig({
  lang: 'en',
  title: 'Daypass',
  description:
    'Keeps people signed in: short-lived JWT access tokens and rotating refresh tokens, from the database to the browser.',
  base: process.env.DOCS_BASE ?? '/',
  ignoreDeadLinks: 'localhostLinks',
  srcExclude: ['node_modules/**'],
  head: [
    ['link', { rel: 'icon', type: 'image/svg+xml', href: `${process.env.DOCS_BASE ?? '/'}icon.svg` }],
    ['meta', { name: 'theme-color', media: '(prefers-color-scheme: light)', content: '#f5f3ee' }],
    ['meta', { name: 'theme-color', media: '(prefers-color-scheme: dark)', content: '#141310' }],
  ],
  vite: { publicDir: '.vitepress/public' },
  markdown: {
    theme: { light: 'github-light', dark: 'github-dark' },
    // The anchors of headings are GitHub's, because the pages are read there too.
    anchor: { slugify },
    config(md) {
      md.core.ruler.push('repository-links', ({ tokens, env }) => {
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const url =
            token.type === 'link_open' ? repositoryUrl(env.relativePath, token.attrGet('href') ?? '') : undefined
          if (url !== undefined) token.attrSet('href', url)
        }
      })
    },
  },
  // The home page has no sidebar.
  transformPageData(page) {
    if (page.relativePath === 'index.md')
      Object.assign(page.frontmatter, { sidebar: false, aside: false, pageClass: 'home' })
  },
  themeConfig: {
    logo: '/icon.svg',
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'How it works', link: '/how-it-works' },
      { text: 'Reference', link: '/server', activeMatch: '/(server|options|http|errors|events|reference)' },
    ],
    sidebar: sections,
    outline: [2, 3],
    search: { provider: 'local' },
    socialLinks: [{ icon: 'github', link: 'https://github.com/daypass/daypass' }],
    footer: { message: 'MIT license' },
  },
})
