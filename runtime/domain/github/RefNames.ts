/** Names of refs: git's own rule (git-check-ref-format), made narrower where that costs nobody a name. */

/** Bytes of a whole name in UTF-8. File systems take 255 for a part, GitHub about as many for the whole. */
export const maxRefBytes = 255

/**
 * What git forbids anywhere in a name: control characters, space, `~^:?*[\`, `..`, `@{`, `//`, a part that begins with a dot
 * or ends in `.lock`, an end in a dot or slash. Beyond git: characters that are not seen.
 */
const forbidden = /[\p{C}\p{Z}~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|[./]$/u
/** The same for names of ASCII alone, which nearly all are: it takes a tenth of the time. */
const forbiddenAscii = /[~^:?*[\\]|\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)|[./]$/
const ascii = /^[\x21-\x7e]*$/

/** A full name of at least three parts, `refs/{kind}/{name}`. Shorter ones git keeps for itself; `refs/refs/` is a mistake. */
export const isRefName = (ref: string): boolean =>
  ref.startsWith("refs/") && !ref.startsWith("refs/", 5) && ref[5] !== "." && ref.indexOf("/", 5) > 5 &&
  !ref.endsWith("/") && (ascii.test(ref)
    ? !forbiddenAscii.test(ref) && ref.length <= maxRefBytes
    : !forbidden.test(ref) && new TextEncoder().encode(ref).length <= maxRefBytes)

/**
 * `feature/x` → `refs/heads/feature/x`, for an API that takes short names. One that it could resolve to another ref is none:
 * `refs/…`, `heads/…`, `HEAD`, an object's id.
 */
export const branchRef = (branch: string): string | undefined => shortRef("refs/heads/", branch)

export const tagRef = (tag: string): string | undefined => shortRef("refs/tags/", tag)

const shortRef = (prefix: string, name: string): string | undefined => {
  const ref = `${prefix}${name}`
  return isRefName(ref) && !/^(?:(?:refs|heads|tags|remotes)\/.*|-.*|HEAD|@|[0-9a-f]{40}|[0-9a-f]{64})$/iu.test(name)
    ? ref
    : undefined
}
