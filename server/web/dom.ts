// DOM helpers: elements made without a framework.

type Child = Node | string
export type Attributes = Record<string, string | number | boolean | undefined>

/** Makes an element. A boolean attribute is there or not; `testid` is short for `data-testid`. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children)
}

/** Makes an element of a drawing. */
export function draw<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children)
}

function fill<T extends Element>(element: T, { testid, ...attributes }: Attributes, children: Child[]): T {
  for (const [name, value] of Object.entries({ ...attributes, 'data-testid': testid })) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children)
  return element
}

/** Makes a button that does one thing, and is busy until that is done. */
export function makeButton(attributes: Attributes, text: string, act: () => unknown): HTMLButtonElement {
  const button = make('button', { type: 'button', ...attributes }, text)
  button.addEventListener('click', async () => {
    // Not `disabled`, which would take the keyboard's focus away.
    if (button.ariaBusy === 'true') return
    button.ariaBusy = 'true'
    try {
      await act()
    } finally {
      button.ariaBusy = null
    }
  })
  return button
}

/** Finds an element of index.html. Throws where there is none with that id. */
export function find(id: string): HTMLElement {
  const element = document.getElementById(id)
  if (element === null) throw new TypeError(`index.html has no element with the id ${id}.`)
  return element
}

/** Sets a text where it differs, so that nothing is painted twice. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** Waits. */
export const pause = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds))
