/** Conditions and changes of DynamoDB's rows as values, written out as expressions whose names and values never clash. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb"
import { type Attributes, toAttribute } from "./attributes.ts"

type Comparison = "=" | "<>" | "<" | "<=" | ">" | ">="

/** A path is one attribute, or a key of a map in one. */
type Path = string | readonly [map: string, key: string]

export type Condition =
  | { readonly _tag: "Exists"; readonly path: Path }
  | { readonly _tag: "Absent"; readonly path: Path }
  | { readonly _tag: "Compare"; readonly path: Path; readonly by: Comparison; readonly value: unknown }
  | { readonly _tag: "StartsWith"; readonly path: Path; readonly text: string }
  | { readonly _tag: "Between"; readonly path: Path; readonly low: string; readonly high: string }
  | { readonly _tag: "All" | "Any"; readonly of: ReadonlyArray<Condition> }

export const exists = (path: Path): Condition => ({ _tag: "Exists", path })
export const absent = (path: Path): Condition => ({ _tag: "Absent", path })
export const compare = (path: Path, by: Comparison, value: unknown): Condition => ({ _tag: "Compare", path, by, value })
export const is = (path: Path, value: unknown): Condition => compare(path, "=", value)
export const startsWith = (path: Path, text: string): Condition => ({ _tag: "StartsWith", path, text })
/** Both ends included. */
export const between = (path: Path, low: string, high: string): Condition => ({ _tag: "Between", path, low, high })
export const all = (...of: ReadonlyArray<Condition>): Condition => ({ _tag: "All", of })
export const any = (...of: ReadonlyArray<Condition>): Condition => ({ _tag: "Any", of })

/** What an update does. An attribute is named once. */
export interface Changes {
  readonly set?: Attributes
  /** Set only where nothing is. */
  readonly setOnce?: Attributes
  readonly remove?: ReadonlyArray<string>
  readonly add?: Readonly<Record<string, number>>
  /** Keys of maps: set, set once, removed. The map itself must be there. */
  readonly setKeys?: ReadonlyArray<readonly [map: string, key: string, value: unknown]>
  readonly setKeysOnce?: ReadonlyArray<readonly [map: string, key: string, value: unknown]>
  readonly removeKeys?: ReadonlyArray<readonly [map: string, key: string]>
}

const given = (attributes: Attributes = {}) => Object.entries(attributes).filter(([, value]) => value !== undefined)

/** Collects the names and values of one request. */
export const makeExpression = () => {
  const names: Record<string, string> = {}
  const values: Record<string, AttributeValue> = {}
  const known = new Map<string, string>()
  let count = 0
  const nameOf = (name: string): string => {
    const before = known.get(name)
    if (before !== undefined) return before
    const placeholder = `#n${known.size}`
    known.set(name, placeholder)
    names[placeholder] = name
    return placeholder
  }
  const pathOf = (path: Path): string => typeof path === "string" ? nameOf(path) : path.map(nameOf).join(".")
  const valueOf = (value: unknown): string => {
    const placeholder = `:v${count++}`
    values[placeholder] = toAttribute(value)
    return placeholder
  }
  const condition = (of: Condition): string => {
    switch (of._tag) {
      case "Exists":
        return `attribute_exists(${pathOf(of.path)})`
      case "Absent":
        return `attribute_not_exists(${pathOf(of.path)})`
      case "Compare":
        return `${pathOf(of.path)} ${of.by} ${valueOf(of.value)}`
      case "StartsWith":
        return `begins_with(${pathOf(of.path)}, ${valueOf(of.text)})`
      case "Between":
        return `${pathOf(of.path)} BETWEEN ${valueOf(of.low)} AND ${valueOf(of.high)}`
      default:
        return of.of.map((part) => `(${condition(part)})`).join(of._tag === "All" ? " AND " : " OR ")
    }
  }
  /** A key's condition: DynamoDB takes no parentheses there from every implementation. */
  const keyCondition = (...of: ReadonlyArray<Condition>): string => of.map(condition).join(" AND ")
  const update = (changes: Changes): string => {
    const once = (path: Path, value: unknown) => `${pathOf(path)} = if_not_exists(${pathOf(path)}, ${valueOf(value)})`
    const sets = [
      ...given(changes.set).map(([name, value]) => `${pathOf(name)} = ${valueOf(value)}`),
      ...given(changes.setOnce).map(([name, value]) => once(name, value)),
      ...(changes.setKeys ?? []).map(([map, key, value]) => `${pathOf([map, key])} = ${valueOf(value)}`),
      ...(changes.setKeysOnce ?? []).map(([map, key, value]) => once([map, key], value))
    ]
    const removes = [...(changes.remove ?? []), ...(changes.removeKeys ?? [])].map(pathOf)
    const adds = Object.entries(changes.add ?? {}).map(([name, value]) => `${pathOf(name)} ${valueOf(value)}`)
    return [
      ...(sets.length === 0 ? [] : [`SET ${sets.join(", ")}`]),
      ...(removes.length === 0 ? [] : [`REMOVE ${removes.join(", ")}`]),
      ...(adds.length === 0 ? [] : [`ADD ${adds.join(", ")}`])
    ].join(" ")
  }
  const rest = () => ({
    ...(Object.keys(names).length === 0 ? {} : { ExpressionAttributeNames: names }),
    ...(Object.keys(values).length === 0 ? {} : { ExpressionAttributeValues: values })
  })
  return { condition, keyCondition, update, rest }
}
