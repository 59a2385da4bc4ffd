// The form that changes a password. The person's other sessions end.

import { make, say } from './dom.ts'
import { checkFields, checkNewPassword, makeField } from './field.ts'
import { readFailure, sayFailure } from './format.ts'
import { client } from './pass.ts'
import { words } from './words.ts'

/** Makes the form. */
export function makePassword(): HTMLElement {
  const current = makeField(words.currentPassword, 'current', { type: 'password', autocomplete: 'current-password' })
  const next = makeField(words.newPassword, 'next', {
    type: 'password',
    autocomplete: 'new-password',
    maxlength: '256',
  })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'password-problem' })
  const success = make('p', { class: 'success', role: 'status', testid: 'password-success' })
  const submit = make('button', { testid: 'change-password' }, words.changePassword)
  const form = make('form', { novalidate: true }, current.element, next.element, problem, submit)

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (submit.ariaBusy === 'true') return
    say(problem, '')
    say(success, '')
    const values = { current: current.input.value, next: next.input.value }
    const isGood = checkFields([
      [current, values.current ? '' : words.enterCurrent],
      [next, checkNewPassword(values.next)],
    ])
    if (!isGood) return
    submit.ariaBusy = 'true'
    const failure = await change(values)
    submit.ariaBusy = null
    if (failure !== undefined) return say(problem, failure)
    form.reset()
    say(success, words.passwordChanged)
  })

  return make(
    'section',
    { class: 'panel' },
    make('details', {}, make('summary', { testid: 'open-password' }, words.changePassword), form, success),
  )
}

/** The error in words; undefined where there is none. */
async function change(values: { current: string; next: string }): Promise<string | undefined> {
  try {
    const headers = { 'content-type': 'application/json' }
    const response = await client.fetch('/auth/password', { method: 'POST', headers, body: JSON.stringify(values) })
    if (response.ok) return undefined
    const failure = await readFailure(response)
    return failure.body?.code === 'ERR_CREDENTIALS_INVALID' ? words.notCurrent : sayFailure(failure)
  } catch (error) {
    return sayFailure(error)
  }
}
