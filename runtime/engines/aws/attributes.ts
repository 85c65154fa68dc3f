/** DynamoDB's typed attributes as plain values. Sets and binaries are not written by us and are left as they are. */
import type { AttributeValue } from "@aws-sdk/client-dynamodb"

/** An item, or a part of one, as plain values. `undefined` is never stored. */
export type Attributes = Readonly<Record<string, unknown>>

/** An attribute that is no plain value: kept as it came, so that writing it back changes nothing. */
class Foreign {
  readonly value: AttributeValue
  constructor(value: AttributeValue) {
    this.value = value
  }
}

export const toAttribute = (value: unknown): AttributeValue => {
  if (value === null) return { NULL: true }
  if (value instanceof Foreign) return value.value
  switch (typeof value) {
    case "string":
      return { S: value }
    case "boolean":
      return { BOOL: value }
    case "number":
      return { N: String(value) }
    case "object":
      return Array.isArray(value) ? { L: value.map(toAttribute) } : { M: toItem(value) }
    default:
      throw new TypeError(`a ${typeof value} cannot be stored`)
  }
}

export const toItem = (attributes: object): Record<string, AttributeValue> =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => value === undefined ? [] : [[name, toAttribute(value)]])
  )

export const fromAttribute = (value: AttributeValue): unknown => {
  if (value.S !== undefined) return value.S
  if (value.N !== undefined) return Number(value.N)
  if (value.BOOL !== undefined) return value.BOOL
  if (value.NULL !== undefined) return null
  if (value.L !== undefined) return value.L.map(fromAttribute)
  if (value.M !== undefined) return fromItem(value.M)
  return new Foreign(value)
}

export const fromItem = (item: Readonly<Record<string, AttributeValue>>): Attributes =>
  Object.fromEntries(Object.entries(item).map(([name, value]) => [name, fromAttribute(value)]))
