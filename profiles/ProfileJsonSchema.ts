/** The JSON Schema of a profile file: what the Effect Schema says, and what a file may say beside it (`extends`). */
import * as Schema from "effect/Schema"
import { profileFor, shorthands } from "../runtime/domain/profile/Profile.ts"

type Json = { readonly [key: string]: unknown }

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

/** A list may also be written as `{ add: […] }`, which adds to the list of the profile it extends. */
const withAdd = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(withAdd)
  if (!isJson(schema)) return schema
  if (schema["type"] !== "array") {
    return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withAdd(value)]))
  }
  const { description, default: value, ...list } = schema
  return {
    ...(description === undefined ? {} : { description }),
    ...(value === undefined ? {} : { default: value }),
    anyOf: [
      list,
      { type: "object", properties: { add: list }, required: ["add"], additionalProperties: false }
    ]
  }
}

/** A map at `path` may also be written as the one word that is the value of its `key`. */
const withWord = (schema: unknown, path: ReadonlyArray<string>, key: string): unknown => {
  if (!isJson(schema)) return schema
  const properties = isJson(schema["properties"]) ? schema["properties"] : {}
  const [step, ...rest] = path
  if (step !== undefined) {
    return { ...schema, properties: { ...properties, [step]: withWord(properties[step], rest, key) } }
  }
  const { description, ...map } = schema
  return { description, anyOf: [properties[key], map] }
}

/** The file's whole text, with a newline at the end, for a build that has these agents. Deterministic. */
export const profileJsonSchema = (agents: ReadonlyArray<string>): string => {
  const { schema } = Schema.toJsonSchemaDocument(profileFor(agents), { onExcessProperty: "error" })
  const worded = shorthands.reduce<unknown>((whole, { key, path }) => withWord(whole, path, key), schema)
  const properties = isJson(worded) && isJson(worded["properties"]) ? worded["properties"] : {}
  const document = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Sandbox profile",
    description:
      "What a sandbox may do. Generated from runtime/domain/profile/Profile.ts by km-cli/build/profileSchema.ts.",
    ...schema,
    properties: {
      ...Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, withAdd(value)])),
      extends: {
        description: "Profiles this one builds on, relative to this file; later ones win, this file last.",
        anyOf: [{ type: "string", minLength: 1 }, { type: "array", items: { type: "string", minLength: 1 } }]
      }
    }
  }
  return `${JSON.stringify(document, null, 2)}\n`
}
