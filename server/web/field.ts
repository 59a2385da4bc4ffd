// A form field: a label, an input, and room for one error.

import { make, say } from './dom.ts'
import { words } from './words.ts'

/** One input with what belongs to it. */
export interface Field {
  /** The field's name in the form. */
  element: HTMLElement
  input: HTMLInputElement
  /** Says what is wrong; empty for nothing. */
  complain(problem: string): void
}

/** Makes a field; `name` must be the only one on the page, for ids are made of it. */
export function makeField(label: string, name: string, attributes: Record<string, string | boolean>): Field {
  const input = make('input', { id: name, name, testid: name, 'aria-describedby': `${name}-problem`, ...attributes })
  const problem = make('p', { id: `${name}-problem`, class: 'problem', testid: `${name}-problem` })
  const complain = (text: string) => {
    say(problem, text)
    if (text === '') input.removeAttribute('aria-invalid')
    else input.setAttribute('aria-invalid', 'true')
  }
  input.addEventListener('input', () => complain(''))
  return {
    element: make('div', { class: 'field' }, make('label', { for: name }, label), input, problem),
    input,
    complain,
  }
}

/** Says the problem of every field that has one, and puts the cursor into the first. True where all is well. */
export function checkFields(checks: [Field, string][]): boolean {
  for (const [field, problem] of checks) field.complain(problem)
  const wrong = checks.find(([, problem]) => problem !== '')
  wrong?.[0].input.focus()
  return wrong === undefined
}

/** The error of a new password, if there is one. */
export function checkNewPassword(password: string): string {
  if (password.length === 0) return words.choosePassword
  return password.length < 8 ? words.passwordTooShort : ''
}
