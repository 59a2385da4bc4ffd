// at(): the element of an array at an index that must exist.

export function at<T>(list: readonly T[], index: number): T {
  const element = list[index]
  if (element === undefined) throw new RangeError(`There is no element ${index}`)
  return element
}
