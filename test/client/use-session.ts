// Which hook do the tests' React apps use? (After the merge: `export { useSession } from '../../src/client/react.ts'`.)

import { useSyncExternalStore } from 'react'
import type { DaypassClient, SessionSnapshot } from '../../src/client/index.ts'

export const useSession = ({ subscribe, getSession }: DaypassClient): SessionSnapshot =>
  useSyncExternalStore(subscribe, getSession, getSession)
