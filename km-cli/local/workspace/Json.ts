/**
 * Careful reading of JSON whose shape nobody promised: what callers send, and what the emulator answers.
 */

/** An object as it came over the wire; every member has to be looked at before it is used. */
export type Json = Readonly<Record<string, unknown>>

/** True for plain objects; arrays and null are not objects here. */
export const isJson = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The member as text, or undefined when it is missing or of another type. */
export const textOf = (json: Json, key: string): string | undefined => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  return typeof value === "string" ? value : undefined
}

/** The member as an object; `{}` when it is missing or of another type. */
export const objectOf = (json: Json, key: string): Json => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  return isJson(value) ? value : {}
}

/** The members of a list that are objects; empty when it is missing or no list. */
export const objectsOf = (json: Json, key: string): ReadonlyArray<Json> => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  return Array.isArray(value) ? value.filter(isJson) : []
}

/** The members of a list that are text; empty when it is missing or no list. */
export const textsOf = (json: Json, key: string): ReadonlyArray<string> => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : []
}

/** A number, also when a form sent it as digits. */
export const numberOf = (json: Json, key: string): number | undefined => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  const number = typeof value === "number" ? value : typeof value === "string" && value !== "" ? Number(value) : NaN
  return Number.isFinite(number) ? number : undefined
}

/** Slack's truth: `true`, `1`, `"true"`, `"1"` (forms have no booleans). */
export const flagOf = (json: Json, key: string): boolean => {
  const value = Object.hasOwn(json, key) ? json[key] : undefined
  return value === true || value === 1 || value === "true" || value === "1"
}

/** Parses text as JSON; `undefined` when it is not JSON. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Leaves out the named members. */
export const without = (json: Json, keys: ReadonlyArray<string>): Json =>
  Object.fromEntries(Object.entries(json).filter(([key]) => !keys.includes(key)))
