// lib/notes.ts: the app's own data, for which an app has a database. Pages and route handlers each load a module of their own.

const kept = globalThis as { notes?: Set<string> }
kept.notes ??= new Set()
export const notes = kept.notes
