// Builds the console: small files of plain TypeScript, into the folder that the server serves.

import { defineConfig } from 'vite'

export default defineConfig({
  // The page shows the drawings of the docs.
  publicDir: '../../docs/sequences',
  build: {
    outDir: '../dist/console',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: 'es2023',
    // The page's policy allows no inline script, and every browser that runs this knows modulepreload.
    modulePreload: { polyfill: false },
  },
})
