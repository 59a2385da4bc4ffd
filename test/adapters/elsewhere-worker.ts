// The app of elsewhere-app.ts as a Worker.

import { createApp } from './elsewhere-app.ts'

// A Worker may make its server where it can neither send anything nor make random numbers.
const app = createApp()

export default {
  fetch: (request: Request): Promise<Response> => app(request),
}
