// Options of a test that needs Web Locks, which Node has since version 24.

export const withWebLocks = {
  skip: globalThis.navigator?.locks ? false : 'this Node has no Web Locks; Node 24 has them',
}
