/**
 * Message text as Slack stores it: control characters escaped, bare links wrapped, and a `rich_text` block made of
 * it, so that readers meet what the real service sends them.
 */
import { blockId } from "./Identifiers.ts"
import type { Json } from "./Json.ts"

/** Longer text is cut, with a warning. Source: docs.slack.dev/reference/methods/chat.postMessage (truncation). */
export const maxTextCharacters = 40_000

/**
 * `chat.update` refuses a longer `text` with `msg_too_long`, also beside blocks. Source:
 * docs.slack.dev/reference/methods/chat.update ("cannot exceed 4,000 characters"). GitLab found that Slack counts
 * bytes, after escaping (merge request 258898 of gitlab-org/gitlab); the stricter count is used here.
 */
export const maxUpdateBytes = 4_000

/** Characters as Slack counts them: code points. */
export const characters = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

const control = /<(?:[@#!][^<>\s][^<>]*|https?:\/\/[^<>]+|mailto:[^<>]+)>/g

const bareLink = /(^|[\s(])(https?:\/\/[^\s<>|]*[^\s<>|.,;:!?)'"])/g

const escapePlain = (text: string): string =>
  text
    .replace(/&(?!amp;|lt;|gt;)/g, "&amp;")
    .replaceAll("<", "&lt;")
    .replace(/(?<!^|\n)>/g, "&gt;")

const outsideControls = (text: string, change: (part: string) => string): string => {
  let result = ""
  let last = 0
  for (const match of text.matchAll(control)) {
    result += change(text.slice(last, match.index)) + match[0]
    last = match.index + match[0].length
  }
  return result + change(text.slice(last))
}

/** The length that the limit of `chat.update` counts. */
export const updateBytes = (text: string): number => Buffer.byteLength(outsideControls(text, escapePlain))

/**
 * Escapes `&`, `<` and `>` that are no control sequence and wraps bare links, leaving `<@U…>`, `<#C…>`, `<!…>` and
 * links as they are; a `>` that opens a line stays (a quote). Already escaped text does not change.
 * Source: docs.slack.dev/messaging/formatting-message-text (escaping, automatic parsing). Slack also turns Unicode
 * emoji into `:names:`; we leave them.
 */
export const normaliseText = (text: string): string =>
  outsideControls(text, (part) => escapePlain(part).replace(bareLink, "$1<$2>"))

const decode = (text: string): string => text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

const controlElement = (sequence: string): Json => {
  const body = sequence.slice(1, -1)
  const [target = "", label] = body.split("|", 2)
  if (target.startsWith("@")) return { type: "user", user_id: target.slice(1) }
  if (target.startsWith("#")) return { type: "channel", channel_id: target.slice(1) }
  if (target.startsWith("!subteam^")) return { type: "usergroup", usergroup_id: target.slice("!subteam^".length) }
  if (target.startsWith("!")) return { type: "broadcast", range: target.slice(1) }
  return { type: "link", url: decode(target), ...(label === undefined ? {} : { text: decode(label) }) }
}

/**
 * The `rich_text` block that Slack adds to a message that came as plain text. Styles inside the text (`*bold*`) stay
 * as characters; Slack would make elements of them.
 */
export const richText = (text: string): Json => {
  const elements: Array<Json> = []
  let last = 0
  for (const match of text.matchAll(control)) {
    if (match.index > last) elements.push({ type: "text", text: decode(text.slice(last, match.index)) })
    elements.push(controlElement(match[0]))
    last = match.index + match[0].length
  }
  if (last < text.length) elements.push({ type: "text", text: decode(text.slice(last)) })
  return { type: "rich_text", block_id: blockId(), elements: [{ type: "rich_text_section", elements }] }
}

/** The users that a text mentions. */
export const mentions = (text: string): ReadonlySet<string> =>
  new Set(Array.from(text.matchAll(/<@([UW][A-Z0-9]+)(?:\|[^<>]*)?>/g), (match) => match[1] ?? ""))
