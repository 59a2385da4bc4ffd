// The app of elsewhere-app.ts as a Worker.

import { createApp } from './elsewhere-app.ts'

let app: ReturnType<typeof createApp> | undefined

export default {
  fetch(request: Request): Promise<Response> {
    // A Worker makes no random numbers outside of a request.
    app ??= createApp()
    return app(request)
  },
}
