// The app's own data, for which an app has a database.
export const notes = new Set<string>()
