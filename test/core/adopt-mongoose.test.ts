// adoptMongoose checks the model's schema when it is called, and the error says what to change.

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

test('tokens under another name than `refreshTokens`: the error names the fields that may hold them', () => {
  refused({ refreshToken: [text] }, undefined, /`refreshTokens`.*refreshToken: \[ … \].*`field`/)
  refused({ refreshToken: text }, undefined, /refreshToken/)
  refused({ auth: { tokens: [text] } }, undefined, /auth\.tokens/)
  refused({ sessions: [{ token: text }], refresh_tokens: [text] }, undefined, /refresh_tokens/)
})

test('a field that is not an array of strings is rejected: it would match nothing, or could not be emptied', () => {
  refused({ refreshTokens: [{ token: text, device: text }] }, undefined, /`refreshTokens`.*Adopter/)
  refused({ refreshTokens: text }, undefined, /`refreshTokens`/)
  refused({ tokens: [Number] }, 'tokens', /`tokens`/)
  refused({ refreshToken: text }, 'refreshToken', /`refreshToken`/)
})

test('every field that may hold tokens is accepted: nested, with options, of any type, or not in the schema any more', () => {
  adoptMongoose(modelOf({ refreshTokens: [text] }))
  adoptMongoose(modelOf({ refreshTokens: { type: [{ type: text, index: true }], select: false } }))
  adoptMongoose(modelOf({ refreshTokens: [] }))
  adoptMongoose(modelOf({ refreshTokens: mongoose.Schema.Types.Mixed }))
  adoptMongoose(modelOf({ auth: { tokens: [text] } }), { field: 'auth.tokens' })
  adoptMongoose(modelOf({ refreshToken: [text] }), { field: 'refreshToken' })
  adoptMongoose(modelOf({ name: text }))
  adoptMongoose(modelOf({ fcmTokens: [text] }), { field: 'refreshTokens' })
})
