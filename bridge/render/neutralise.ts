/** What an agent writes is shown, never obeyed: no pings, no invisible characters, no reversed text. */

/** C0 and C1 controls but tab, line feed and carriage return. */
// oxlint-disable-next-line no-control-regex
const controls = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g
/** Embeddings, overrides and isolates: they make text read otherwise than it is (CVE-2021-42574). */
const bidi = /[\u202a-\u202e\u2066-\u2069]/g
/** Characters without width that hide text; ZWJ and ZWNJ stay, emoji and several scripts need them. */
const invisible = /\u034f|[\u00ad\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb]/g
/** Tag characters outside a flag: a known way to smuggle instructions. */
const tags = /(?<!\u{1f3f4}[\u{e0000}-\u{e007f}]*)[\u{e0000}-\u{e007f}]/gu

/** Slack's own control sequences that notify somebody. Source: docs.slack.dev/messaging/formatting-message-text. */
const pings = /<(?=!(?:channel|here|everyone|group)\b|!subteam\^|@[UWB][A-Z0-9]{2,})/gi
/** The same as a person would type it. The word joiner is ours, put in after all others were taken out. */
const typedPings = /@(?=(?:channel|here|everyone)\b)/gi

/** Text from Slack or an agent without controls, bidi marks and hidden characters; lone surrogates become U+FFFD. */
export const stripHidden = (text: string): string =>
  text
    .toWellFormed()
    .replace(controls, "")
    .replace(bidi, "")
    .replace(invisible, "")
    .replace(tags, "")

/** Markdown that is safe to post for an agent. Applying it twice changes nothing more. */
export const neutralise = (markdown: string): string =>
  stripHidden(markdown).replace(/\r\n?/g, "\n").replace(pings, "&lt;").replace(typedPings, "@\u2060")
