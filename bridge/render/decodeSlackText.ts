/** What a person typed, out of Slack's encoding of it: entities, mentions and links become plain words. */

/** Slack ids of users that a text mentions, at most 20, without repetition. */
export const mentionedUsers = (text: string): ReadonlyArray<string> =>
  !text.includes("<@") ?
    [] :
    [...new Set(Array.from(text.matchAll(/<@([UW][A-Z0-9]{2,20})(?:\|[^>]*)?>/g), (match) => match[1] ?? ""))].slice(
      0,
      20
    )

/** True when the text mentions this user. */
export const mentions = (text: string, user: string): boolean => mentionedUsers(text).includes(user)

const entities = (text: string): string => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&")

/**
 * Decoded text. `nameOf` gives a user's name, or undefined where it is not known (the id is then shown). A mention of
 * `self` at the start is an address, not a part of the message, and is taken off.
 */
export const decodeSlackText = (
  text: string,
  options: { readonly self?: string; readonly nameOf: (user: string) => string | undefined }
): string => {
  const addressed = options.self === undefined
      || !text.includes("<@")
    ? text
    : text.replace(new RegExp(`^\\s*<@${options.self}(?:\\|[^>]*)?>[:,]?\\s*`), "")
  if (!/[<&]/.test(addressed)) return addressed
  // Entities are decoded piece by piece: what a person typed as "<@U1>" arrives as "&lt;@U1&gt;" and stays text.
  return addressed.split(/(<[^<>\n]*>)/).map((piece) => {
    const match = /^<([^<>\n]*)>$/.exec(piece)
    return match === null ? entities(piece) : decodeSequence(match[1] ?? "", options.nameOf)
  }).join("")
}

const decodeSequence = (inner: string, nameOf: (user: string) => string | undefined): string => {
  const bar = inner.indexOf("|")
  const target = bar < 0 ? inner : inner.slice(0, bar)
  const label = bar < 0 ? "" : entities(inner.slice(bar + 1))
  if (target.startsWith("@")) return `@${nameOf(target.slice(1)) ?? (label === "" ? target.slice(1) : label)}`
  if (target.startsWith("#")) return `#${label === "" ? target.slice(1) : label}`
  if (target.startsWith("!subteam^")) return label === "" ? "@group" : label.startsWith("@") ? label : `@${label}`
  if (target.startsWith("!")) return label === "" ? `@${target.slice(1).split("^")[0] ?? ""}` : label
  const address = entities(target)
  const plain = address.replace(/^mailto:/, "")
  return label === "" || label === address || label === plain ? plain : `${label} (${address})`
}
