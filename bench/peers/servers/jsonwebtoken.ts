// The tutorials' code: Express, jsonwebtoken with secrets that are strings, and the refresh token kept beside its user.

import express from 'express'
import jwt from 'jsonwebtoken'
import { serve } from './serve.ts'

const ACCESS_TOKEN_SECRET = 'an access token secret of a benchmark 0123456789'
const REFRESH_TOKEN_SECRET = 'a refresh token secret of a benchmark 0123456789'
const users = new Map<string, { id: string; role: string; refreshToken?: string }>()

function issueTokens(user: { id: string; role: string; refreshToken?: string }) {
  const accessToken = jwt.sign({ id: user.id, role: user.role }, ACCESS_TOKEN_SECRET, { expiresIn: '15m' })
  const refreshToken = jwt.sign({ id: user.id }, REFRESH_TOKEN_SECRET, { expiresIn: '7d' })
  user.refreshToken = refreshToken
  return { accessToken, refreshToken }
}

const app = express()
app.use(express.json())
app.post('/auth/refresh', (req, res) => {
  const { refreshToken } = req.body
  if (!refreshToken) return res.sendStatus(401)
  jwt.verify(refreshToken, REFRESH_TOKEN_SECRET, (error: unknown, payload: any) => {
    const user = error ? undefined : users.get(payload.id)
    if (user?.refreshToken !== refreshToken) return res.sendStatus(403)
    res.json(issueTokens(user!))
  })
})

serve(app, async (subject) => {
  const user = { id: subject, role: 'admin' }
  users.set(subject, user)
  return issueTokens(user).refreshToken
})
