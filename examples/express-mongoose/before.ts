// The second tutorial as printed: the app that server.ts takes over from. Not an example to follow.

import express from 'express'
import jwt from 'jsonwebtoken'
import type { Connection } from 'mongoose'
import { createUsers, isPassword } from './user.ts'

export function createOldApp({ connection, oldSecret }: { connection: Connection; oldSecret: string }) {
  const users = createUsers(connection)
  const sign = (id: unknown, expiresIn: number) => jwt.sign({ id, nonce: Math.random() }, oldSecret, { expiresIn })

  const app = express()
  app.use(express.json())

  app.post('/login', async (req, res) => {
    const user = await users.findOne({ email: String(req.body.email) })
    if (!user || !isPassword(req.body.password, user.password)) return void res.sendStatus(401)
    const refreshToken = sign(user._id, 7 * 24 * 60 * 60)
    user.refreshTokens.push(refreshToken)
    await user.save()
    res.json({ accessToken: sign(user._id, 15 * 60), refreshToken })
  })

  // The refresh token stays the same for a week, also in a thief's hands.
  app.post('/refresh-token', async (req, res) => {
    const user = await users.findOne({ refreshTokens: String(req.body.refreshToken) })
    if (!user) return void res.sendStatus(403)
    res.json({ accessToken: sign(user._id, 15 * 60) })
  })
  return app
}
