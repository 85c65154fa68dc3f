/** The plain words of a Markdown message: for notifications, screen readers, and where Slack refuses blocks. */

/** Characters of the notification text; Slack shows far fewer. */
const maxFallback = 3_000

/** The three characters that Slack's text fields reserve. */
export const escapeSlack = (text: string): string =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;")

/** At most `max` characters, cut between code points, with an ellipsis where something was cut. */
export const clip = (text: string, max: number): string => {
  if (text.length <= max) return text
  const cut = text.slice(0, max - 1)
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`
}

/**
 * What stands beside marks that stress nothing: in `2**3**2`, `x**2 + y**2`, `(n)**2` and `my__name__x` they are what was
 * written. Scripts without spaces between words are stressed in the middle of them.
 */
const word = String.raw`\p{Nd}_\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}`

/** Code, which is as it was written; an escaped mark; a link; something stressed. */
const inline = new RegExp(
  [
    String.raw`(?<!\x60)(?<ticks>\x60+)(?<code>[^\n]*?[^\n\x60])\k<ticks>(?!\x60)`,
    String.raw`\\(?<escaped>[!-/:-@[-\x60{-~])`,
    String.raw`\[(?<label>[^\]\n]*)\]\((?<url>[^)\s]*)\)`,
    String.raw`(?<![${word})\]*~])(?<mark>\*{2,3}|__|~~)(?=\S)(?<inner>[^\n]*?\S)\k<mark>(?![${word}*~])`
  ].join("|"),
  "gu"
)
/** A name of Python's, and no stress. */
const dunder = /^__[a-z0-9]+(?:_[a-z0-9]+)*__$/

const withoutMarks = (text: string): string =>
  text.replace(inline, (whole: string, ...rest: ReadonlyArray<unknown>) => {
    const groups: Readonly<Record<string, string | undefined>> = Object(rest.at(-1))
    const { code, escaped, inner, label, url } = groups
    if (code !== undefined) return code
    if (escaped !== undefined) return escaped
    if (label !== undefined) return `${withoutMarks(label)} (${url ?? ""})`
    return inner === undefined || dunder.test(whole) ? whole : withoutMarks(inner)
  })

/** Fences go, what is between them stays as it is; elsewhere the marks go. */
const plainLines = (markdown: string): ReadonlyArray<string> => {
  let fence: string | undefined
  return markdown.split("\n").flatMap((line) => {
    const [, ticks] = /^\s*(`{3,}|~{3,})/.exec(line) ?? []
    if (fence === undefined && ticks !== undefined) {
      fence = ticks
      return []
    }
    if (fence === undefined) return [withoutMarks(line.replace(/^#{1,6}\s+/, ""))]
    if (ticks !== undefined && ticks.startsWith(fence) && line.trim() === ticks) {
      fence = undefined
      return []
    }
    return [line]
  })
}

/** Without marks, escaped, at most about 3,000 characters; never empty. */
export const fallbackText = (markdown: string): string => {
  const plain = plainLines(clip(markdown, maxFallback)).join("\n").replace(/&lt;/g, "<").replace(/\n{3,}/g, "\n\n")
    .trim()
  return plain === "" ? "(no text)" : escapeSlack(plain)
}

/** The whole source as plain text, for a message whose blocks Slack refused: nothing is lost, only looks. */
export const plainText = (markdown: string): string => escapeSlack(markdown.replace(/&lt;/g, "<"))
