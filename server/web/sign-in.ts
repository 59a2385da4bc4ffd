// The card to sign up or to sign in.

import { make, say } from './dom.ts'
import { checkFields, checkNewPassword, makeField } from './field.ts'
import { client } from './pass.ts'
import { sayFailure } from './words.ts'

type Mode = 'sign-up' | 'sign-in'

const words = {
  'sign-up': {
    title: 'Create an account',
    button: 'Sign up',
    question: 'Do you have an account?',
    other: 'Sign in',
    refused: 'This did not work. If you have an account already, sign in with its password.',
  },
  'sign-in': {
    title: 'Sign in',
    button: 'Sign in',
    question: 'New here?',
    other: 'Create an account',
    refused: 'E-mail and password do not match. Check both and try again.',
  },
} as const

/** Why there is no session, where a person wants to know. */
const endings: Record<string, string> = {
  'sign-out': 'You signed out.',
  ERR_SESSION_REVOKED: 'This session was ended, here or on another device.',
  ERR_SESSION_EXPIRED: 'This session has expired.',
  ERR_REFRESH_TOKEN_REUSED: 'Somebody used a copy of your session, so it was ended. Change your password.',
}

/** Makes the card. Signed in, the page takes it away. */
export function makeSignIn(): HTMLElement {
  const { reason = '' } = client.getSession()
  let mode: Mode = reason in endings ? 'sign-in' : 'sign-up'

  const email = makeField('E-mail', 'email', { type: 'email', autocomplete: 'username', inputmode: 'email' })
  const password = makeField('Password', 'password', { type: 'password', maxlength: '256' })
  const hint = make('p', { class: 'hint' }, '8 characters or more')
  password.element.append(hint)
  const title = make('h1', { id: 'sign-in-title', tabindex: -1 })
  const lede = make('p', { class: 'lede' }, 'Sign in once. From then on your pass renews itself.')
  const remember = make('input', { type: 'checkbox', name: 'remember-me', checked: true, testid: 'remember-me' })
  const problem = make('p', { class: 'problem', role: 'alert', testid: 'problem' })
  const submit = make('button', { class: 'primary', testid: 'submit' })
  const question = make('span')
  const other = make('button', { type: 'button', class: 'link', testid: 'other-mode' })
  const form = make(
    'form',
    { novalidate: true, 'aria-labelledby': 'sign-in-title' },
    ...[title, lede, email.element, password.element],
    make('label', { class: 'check' }, remember, 'Stay signed in'),
    ...[problem, submit],
    make('p', { class: 'other' }, question, ' ', other),
  )

  function show(next: Mode): void {
    mode = next
    say(title, words[mode].title)
    say(submit, words[mode].button)
    say(question, words[mode].question)
    say(other, words[mode].other)
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
      [email, /^[^\s@]+@[^\s@]+$/.test(credentials.email) ? '' : 'Enter your e-mail address, such as ada@example.com.'],
      [
        password,
        mode === 'sign-up'
          ? checkNewPassword(credentials.password)
          : credentials.password
            ? ''
            : 'Enter your password.',
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
  const ending = endings[reason]
  return make(
    'section',
    { class: 'sign-in', testid: 'signed-out' },
    make('div', { class: 'strip', 'aria-hidden': 'true' }, make('span', {}, 'Day pass'), make('span', {}, 'Admit one')),
    ...(ending === undefined ? [] : [make('p', { class: 'ending', testid: 'ending' }, ending)]),
    form,
  )
}

function explain(error: unknown, mode: Mode): string {
  const { status, body } = error as { status?: number; body?: { code?: string } }
  if (body?.code === 'ERR_CREDENTIALS_INVALID') return words[mode].refused
  if (status === 404) return 'Registration is closed on this server. Sign in instead.'
  return sayFailure(error)
}
