// The bodies that can be sent again. Used in Node and, bundled, in a page.

export const bytes = new Uint8Array(100_000).map((_, index) => index % 251)

function form() {
  const data = new FormData()
  data.set('name', 'Ada Lövelace')
  data.append('file', new File([bytes], 'photo “1”.png', { type: 'image/png' }))
  data.append('file', new File([], 'empty.txt'))
  data.set('tricky', 'a line\r\n--boundary\r\nanother')
  return data
}

/** Each kind, made anew. */
export const bodies: Record<string, () => BodyInit> = {
  string: () => 'héllo',
  'string of nothing': () => '',
  JSON: () => JSON.stringify({ a: [1, 'ü', null] }),
  URLSearchParams: () => new URLSearchParams({ a: '1', b: '& ü' }),
  'FormData with files': form,
  'FormData of nothing': () => new FormData(),
  Blob: () => new Blob([bytes], { type: 'application/x-mine' }),
  File: () => new File([bytes], 'a.bin'),
  ArrayBuffer: () => bytes.slice().buffer,
  Uint8Array: () => bytes.slice(),
  'part of a Uint8Array': () => bytes.subarray(10, 20),
  Uint16Array: () => new Uint16Array([1, 2, 65535]),
  DataView: () => new DataView(bytes.slice().buffer, 100, 50),
}

/** A body that can be read once only. */
export const stream = () => new Blob(['stream']).stream()
