// The card to sign up or to sign in.

import { make, say } from './dom.ts'
import { checkFields, checkNewPassword, makeField } from './field.ts'
import { sayFailure } from './format.ts'
import { client } from './pass.ts'
import { words } from './words.ts'

export type Mode = 'sign-up' | 'sign-in'

const modes = {
  'sign-up': {
    title: words.signUpTitle,
    button: words.signUp,
    question: words.signUpQuestion,
    other: words.signIn,
    refused: words.signUpRefused,
  },
  'sign-in': {
    title: words.signInTitle,
    button: words.signIn,
    question: words.signInQuestion,
    other: words.createAccount,
    refused: words.signInRefused,
  },
}

/** Makes the card. Signed in, the page takes it away. */
export function makeSignIn(mode: Mode): { element: HTMLElement; focus(): void } {
  const email = makeField(words.email, 'email', { type: 'email', autocomplete: 'username', inputmode: 'email' })
  const password = makeField(words.password, 'password', { type: 'password', maxlength: '256' })
  const hint = make('p', { class: 'hint' }, words.passwordHint)
  password.element.append(hint)
  const title = make('h2', { id: 'sign-in-title' })
  const remember = make('input', { type: 'checkbox', name: 'remember-me', checked: true, testid: 'remember-me' })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'problem' })
  const submit = make('button', { class: 'primary', testid: 'submit' })
  const question = make('span')
  const other = make('button', { type: 'button', class: 'link', testid: 'other-mode' })
  const form = make(
    'form',
    { novalidate: true, 'aria-labelledby': 'sign-in-title' },
    ...[title, email.element, password.element],
    make('label', { class: 'check' }, remember, words.staySignedIn),
    ...[problem, submit],
    make('p', { class: 'other' }, question, ' ', other),
  )

  function show(next: Mode): void {
    mode = next
    say(title, modes[mode].title)
    say(submit, modes[mode].button)
    say(question, modes[mode].question)
    say(other, modes[mode].other)
    hint.hidden = mode === 'sign-in'
    password.input.autocomplete = mode === 'sign-up' ? 'new-password' : 'current-password'
  }

  other.addEventListener('click', () => {
    show(mode === 'sign-up' ? 'sign-in' : 'sign-up')
    for (const field of [email, password]) field.complain('')
    say(problem, '')
    email.input.focus()
  })

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    if (submit.ariaBusy === 'true') return
    say(problem, '')
    const credentials = {
      email: email.input.value.trim(),
      password: password.input.value,
      rememberMe: remember.checked,
    }
    const isGood = checkFields([
      [email, /^[^\s@]+@[^\s@]+$/.test(credentials.email) ? '' : words.enterEmail],
      [
        password,
        mode === 'sign-up' ? checkNewPassword(credentials.password) : credentials.password ? '' : words.enterPassword,
      ],
    ])
    if (!isGood) return
    submit.ariaBusy = 'true'
    try {
      await client.signIn(credentials, mode === 'sign-up' ? { path: 'register' } : {})
    } catch (error) {
      say(problem, explain(error, mode))
    } finally {
      submit.ariaBusy = null
    }
  })

  show(mode)
  const element = make(
    'section',
    { class: 'sign-in', testid: 'card', 'aria-labelledby': 'sign-in-title' },
    make('div', { class: 'strip', 'aria-hidden': 'true' }, make('span', {}, words.dayPass)),
    form,
  )
  return { element, focus: () => email.input.focus() }
}

function explain(error: unknown, mode: Mode): string {
  const { status, body } = error as { status?: number; body?: { code?: string } }
  if (body?.code === 'ERR_CREDENTIALS_INVALID') return modes[mode].refused
  if (status === 404) return words.registrationClosed
  return sayFailure(error)
}
