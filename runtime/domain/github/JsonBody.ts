/** Bodies of JSON: what is judged is what is written out again, so that there is one meaning for us and for GitHub. */
import { denied, shown } from "./Denials.ts"
import type { Denied } from "./GitHubPolicy.ts"

export type JsonObject = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Nested so deep at most: more is no request of an API, and ends a recursion. */
const maxDepth = 64

const tooDeep = (value: unknown, left: number): boolean =>
  typeof value === "object" && value !== null &&
  (left === 0 || Object.values(value).some((inner) => tooDeep(inner, left - 1)))

/** An empty body is an empty object. Names that stand twice have their last value, and are written once. */
export const parseJson = (text: string): { readonly value: unknown } | Denied => {
  if (text.trim() === "") return { value: {} }
  try {
    const value: unknown = JSON.parse(text)
    return tooDeep(value, maxDepth) ? denied("body.malformed", `the body is nested deeper than ${maxDepth}`) : { value }
  } catch {
    return denied("body.malformed", "the body is not JSON")
  }
}

/** The names of `body` that are not among `names`, as a refusal. */
export const unknownNames = (body: JsonObject, names: ReadonlyArray<string>): Denied | undefined => {
  const unknown = Object.keys(body).find((name) => !names.includes(name))
  return unknown === undefined
    ? undefined
    : denied("body.malformed", `the body has ${JSON.stringify(shown(unknown))}, which the route does not have`)
}

/** A member of the body that a judgement needs: absent, or of its type. `null` is no value: GitHub may take it for a default. */
export const member = <A extends string | boolean>(
  body: JsonObject,
  name: string,
  type: A extends string ? "string" : "boolean"
): { readonly value: A | undefined } | Denied => {
  if (!Object.hasOwn(body, name)) return { value: undefined }
  const value = body[name]
  return typeof value === type
    ? { value: value as A }
    : denied("body.malformed", `${name} of the body is not a ${type}`)
}
