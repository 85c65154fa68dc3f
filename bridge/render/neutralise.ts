/** What an agent writes is shown, never obeyed: no pings, no invisible characters, no reversed text. */
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { literalRanges } from "./literalRanges.ts"

/** Slack's own control sequences that notify somebody. Source: docs.slack.dev/messaging/formatting-message-text. */
const pings = /<(?=!(?:channel|here|everyone|group)\b|!subteam\^|@[UWB][A-Z0-9]{2,})/gi
/** The same as a person would type it; behind a letter it is a part of an address. */
const typedPings = /(?<![\p{L}\p{N}_])@(?=(?:channel|here|everyone)\b)/giu

/**
 * Markdown that is safe to post for an agent. Applying it twice changes nothing more. What a person would type to ping
 * is broken where it is read as words; Slack's own sequences are broken everywhere, because nobody says that code is
 * safe from them.
 */
export const neutralise = (markdown: string): string =>
  breakTypedPings(withoutHidden(markdown).replace(/\r\n?/g, "\n").replace(pings, "&lt;"))

/** The word joiner is ours, put in after all others were taken out. */
const breakTypedPings = (markdown: string): string => {
  if (markdown.search(typedPings) < 0) return markdown
  const literal = literalRanges(markdown, [...markdown.matchAll(typedPings)].map((match) => match.index))
  let next = 0
  return markdown.replace(typedPings, (match, at: number) => {
    while (next < literal.length && (literal[next]?.end ?? 0) <= at) next += 1
    const range = literal[next]
    return range !== undefined && range.start <= at ? match : `${match}\u2060`
  })
}
