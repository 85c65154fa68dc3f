/** Names of refs: git's own rule (git-check-ref-format), made narrower where that costs nobody a name. */

/** Bytes of a whole name in UTF-8. File systems take 255 for a part, GitHub about as many for the whole. */
export const maxRefBytes = 255

/**
 * What git forbids anywhere in a name: control characters, space, `~^:?*[\`, `..`, `@{`, `//`, a part that begins with a dot
 * or ends in `.lock`, an end in a dot or slash. Beyond git: characters that are not seen.
 */
const forbidden = /[\p{C}\p{Z}~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|[./]$/u
const ascii = /^[\x21-\x7e]*$/u

/** A full name of at least three parts, `refs/{kind}/{name}`. Shorter ones git keeps for itself. */
export const isRefName = (ref: string): boolean =>
  /^refs\/[^/]+\/./u.test(ref) && !forbidden.test(ref) && !ref.slice(5).startsWith(".") &&
  byteLength(ref) <= maxRefBytes

const byteLength = (text: string): number => (ascii.test(text) ? text.length : new TextEncoder().encode(text).length)

/** `feature/x` → `refs/heads/feature/x`. A name that could be taken for another is none: `refs/…`, `HEAD`, an object's id. */
export const branchRef = (branch: string): string | undefined => shortRef("refs/heads/", branch)

export const tagRef = (tag: string): string | undefined => shortRef("refs/tags/", tag)

const shortRef = (prefix: string, name: string): string | undefined => {
  const ref = `${prefix}${name}`
  return isRefName(ref) && !/^(?:refs\/.*|-.*|HEAD|@|[0-9a-f]{40}|[0-9a-f]{64})$/iu.test(name) ? ref : undefined
}
