// A Mongoose model whose schema shows that no token would be found: said at the start, and what to change.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import mongoose from 'mongoose'
import { adoptMongoose } from '../../src/adopt/mongoose.ts'
import { isDaypassError } from '../../src/errors.ts'

let models = 0
const modelOf = (fields: mongoose.SchemaDefinition) =>
  mongoose.model(`Model${models++}`, new mongoose.Schema(fields as any)) as any

const text = String
const refused = (fields: mongoose.SchemaDefinition, field: string | undefined, words: RegExp) =>
  assert.throws(
    () => adoptMongoose(modelOf(fields), field === undefined ? {} : { field }),
    (error) => isDaypassError(error, 'ERR_OPTION_INVALID') && words.test(error.message),
  )

test('tokens under another name than `refreshTokens`: the error names where they seem to be', () => {
  refused({ refreshToken: [text] }, undefined, /`refreshTokens`.*refreshToken: \[ … \].*`field`/)
  refused({ refreshToken: text }, undefined, /refreshToken/)
  refused({ auth: { tokens: [text] } }, undefined, /auth\.tokens/)
  refused({ sessions: [{ token: text }], refresh_tokens: [text] }, undefined, /refresh_tokens/)
})

test('a field that holds no array of texts would match nothing, or could not be emptied: refused by its name', () => {
  refused({ refreshTokens: [{ token: text, device: text }] }, undefined, /`refreshTokens`.*Adopter/)
  refused({ refreshTokens: text }, undefined, /`refreshTokens`/)
  refused({ tokens: [Number] }, 'tokens', /`tokens`/)
  refused({ refreshToken: text }, 'refreshToken', /`refreshToken`/)
})

test('what may hold tokens is taken: the field, nested, with options, of any kind, or in no schema any more', () => {
  adoptMongoose(modelOf({ refreshTokens: [text] }))
  adoptMongoose(modelOf({ refreshTokens: { type: [{ type: text, index: true }], select: false } }))
  adoptMongoose(modelOf({ refreshTokens: [] }))
  adoptMongoose(modelOf({ refreshTokens: mongoose.Schema.Types.Mixed }))
  adoptMongoose(modelOf({ auth: { tokens: [text] } }), { field: 'auth.tokens' })
  adoptMongoose(modelOf({ refreshToken: [text] }), { field: 'refreshToken' })
  adoptMongoose(modelOf({ name: text }))
  adoptMongoose(modelOf({ fcmTokens: [text] }), { field: 'refreshTokens' })
})
