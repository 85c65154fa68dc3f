/** How a profile takes over what it does not say itself: maps merge, a child's scalar wins, a child's list replaces. */
import { shorthands } from "./Profile.ts"

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** `{ add: […] }`: a child's list that adds to the parent's instead of replacing it. */
const addedItems = (value: unknown): ReadonlyArray<unknown> | undefined => {
  if (!isMap(value)) return undefined
  const keys = Object.keys(value)
  return keys.length === 1 && keys[0] === "add" && Array.isArray(value["add"]) ? value["add"] : undefined
}

/** Equal JSON values are one item, so that adding what is there changes nothing. */
const joined = (first: ReadonlyArray<unknown>, second: ReadonlyArray<unknown>): ReadonlyArray<unknown> => {
  const seen = new Set<string>()
  return [...first, ...second].filter((item) => {
    const key = JSON.stringify(item)
    return !seen.has(key) && seen.add(key).has(key)
  })
}

/**
 * The parent with the child laid over it. Associative, so a chain may be folded from either end; a `{ add: […] }`
 * that found no list stays until `resolveAdds`.
 */
export const mergeProfiles = (parent: unknown, child: unknown): unknown => {
  const added = addedItems(child)
  if (added !== undefined) {
    const before = addedItems(parent)
    if (before !== undefined) return { add: joined(before, added) }
    return Array.isArray(parent) ? joined(parent, added) : child
  }
  if (!isMap(child) || !isMap(parent) || addedItems(parent) !== undefined) return child
  const keys = new Set([...Object.keys(parent), ...Object.keys(child)])
  return Object.fromEntries(Array.from(keys, (key) => [
    key,
    !Object.hasOwn(child, key)
      ? parent[key]
      : Object.hasOwn(parent, key)
      ? mergeProfiles(parent[key], child[key])
      : child[key]
  ]))
}

/** What is left of `{ add: […] }` where no parent has a list is the list itself. */
export const resolveAdds = (value: unknown): unknown => {
  const added = addedItems(value)
  if (added !== undefined) return added
  return isMap(value)
    ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolveAdds(inner)]))
    : value
}

/**
 * One file's words with every shorthand written out. Before merging: a child that adds a key to what its parent said in one
 * word must not lose that word.
 */
export const writeOutShorthands = (raw: unknown): unknown =>
  shorthands.reduce((whole, { key, path: [outer, inner] }) => {
    const map = isMap(whole) ? whole[outer] : undefined
    const word = isMap(map) ? map[inner] : undefined
    return isMap(whole) && isMap(map) && typeof word === "string"
      ? { ...whole, [outer]: { ...map, [inner]: { [key]: word } } }
      : whole
  }, raw)
