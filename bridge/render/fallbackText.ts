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

/** Without marks, escaped, at most about 3,000 characters; never empty. */
export const fallbackText = (markdown: string): string => {
  const plain = clip(markdown, maxFallback)
    .replace(/^\s*(`{3,}|~{3,}).*$/gm, "")
    .replace(/^#{1,6}\s+/gm, "")
    .replace(/\[([^\]\n]*)\]\(([^)\s]*)\)/g, "$1 ($2)")
    .replace(/(\*\*|__|~~|`)/g, "")
    .replace(/&lt;/g, "<")
    .replace(/\n{3,}/g, "\n\n")
    .trim()
  return plain === "" ? "(no text)" : escapeSlack(plain)
}

/** The whole source as plain text, for a message whose blocks Slack refused: nothing is lost, only looks. */
export const plainText = (markdown: string): string => escapeSlack(markdown.replace(/&lt;/g, "<"))
