/** What an agent writes is shown, never obeyed: no pings, no invisible characters, no reversed text. */
import { withoutHidden } from "../../runtime/domain/HiddenText.ts"

/** Slack's own control sequences that notify somebody. Source: docs.slack.dev/messaging/formatting-message-text. */
const pings = /<(?=!(?:channel|here|everyone|group)\b|!subteam\^|@[UWB][A-Z0-9]{2,})/gi
/** The same as a person would type it. The word joiner is ours, put in after all others were taken out. */
const typedPings = /@(?=(?:channel|here|everyone)\b)/gi

/** Markdown that is safe to post for an agent. Applying it twice changes nothing more. */
export const neutralise = (markdown: string): string =>
  withoutHidden(markdown).replace(/\r\n?/g, "\n").replace(pings, "&lt;").replace(typedPings, "@\u2060")
