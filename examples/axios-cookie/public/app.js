// The third tutorial done right, the page's half: axios meets a 401, the session is refreshed once, and the original
// request is replayed, so that nobody notices.

import axios from 'axios'
import { attachDaypass } from 'daypass/axios'
import { createClient } from 'daypass/client'

const session = createClient({ baseUrl: '/auth' })
const api = axios.create({ baseURL: '/api' })
attachDaypass(api, session)

const on = (id, action) =>
  document.getElementById(id).addEventListener('click', async () => {
    const log = document.getElementById('log')
    try {
      log.textContent += `${id}: ${JSON.stringify(await action())}\n`
    } catch (error) {
      log.textContent += `${id}: ${error.message}\n`
    }
  })

on('sign-in', async () => {
  const rememberMe = document.getElementById('remember-me').checked
  const { session: begun } = await session.signIn({ name: 'ada', password: 'correct horse', rememberMe })
  return begun.subject
})
on('save', async () => (await api.post('/notes', { note: 'buy milk' })).data)
on('sign-out', () => session.signOut())
