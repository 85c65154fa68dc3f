/** RFC 8785 for the values that a manifest has, so that one manifest has exactly one text to sign. */

/** What a manifest is made of. Numbers are safe integers: RFC 8785 and `String` agree on those. */
export type CanonicalValue =
  | null
  | boolean
  | number
  | string
  | ReadonlyArray<CanonicalValue>
  | { readonly [key: string]: CanonicalValue }

const isList = (value: CanonicalValue): value is ReadonlyArray<CanonicalValue> => Array.isArray(value)

/**
 * The canonical text: members sorted by UTF-16 code units, no white space, ECMAScript's own escapes (which RFC 8785
 * prescribes). Throws `RangeError` for what a manifest cannot hold: fractions, unsafe integers, lone surrogates.
 */
export const canonicalJson = (value: CanonicalValue): string => {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new RangeError("only safe integers")
  if (typeof value === "string" && !value.isWellFormed()) throw new RangeError("only well-formed text")
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${canonicalJson(key)}:${canonicalJson(member)}`).join(",")}}`
}
