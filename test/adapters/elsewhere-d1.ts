// The app of elsewhere-app.ts as a Worker whose sessions are in Cloudflare D1.

import { createD1Store, type D1Client } from 'daypass/d1'
import { createApp } from './elsewhere-app.ts'

let app: ReturnType<typeof createApp> | undefined

export default {
  fetch(request: Request, { DB }: { DB: D1Client }): Promise<Response> {
    app ??= createApp(createD1Store(DB))
    return app(request)
  },
}
