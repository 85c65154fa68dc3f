/** Secrets of every known shape, and what may stand in them and around them without being seen. For property tests. */
import { Schema } from "effect"

/** Built from pieces, so that no scanner of this repository takes them for real ones. */
const body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
const base64url = (text: string): string => Buffer.from(text, "utf8").toString("base64url")
const header = base64url(JSON.stringify({ alg: "RS256", typ: "JWT", kid: body }))
const claims = base64url(JSON.stringify({ iss: "1234567", installation: "89", scopes: body.repeat(3) }))

/** A shape, and a token of it. */
export const disguisedTokens: ReadonlyArray<readonly [shape: string, token: string]> = [
  ["Slack bot", ["xoxb", "1234567890", "1234567890123", body.slice(0, 24)].join("-")],
  ["Slack user", ["xoxp", "1234567890", "1234567890123", body.slice(0, 32)].join("-")],
  ["Slack configuration", ["xoxe.xoxp", "1", body].join("-")],
  ["Slack app", ["xapp", "1", "A0123", "456", body].join("-")],
  ["Slack workflow", ["xwfp", "1234567890", body].join("-")],
  ["GitHub classic", `ghp_${body.slice(0, 36)}`],
  ["GitHub installation", `ghs_${body.slice(0, 36)}`],
  ["GitHub installation, stateless", `ghs_1234_${header}.${claims}.${body.repeat(6)}`.slice(0, 520)],
  ["GitHub fine-grained", `github_pat_11ABCDE_${body}`],
  ["Anthropic", `sk-ant-api03-${body}`],
  ["OpenAI", `sk-proj-${body}`],
  ["Google", `AIza${body.slice(0, 35)}`],
  ["AWS access key id", `AKIA${"ABCDEFGHIJKLMNOP"}`],
  ["JSON web token", `${header}.${claims}.${body}`],
  ["hook", `kmh_${body}abc`],
  ["proxy", `kmp_${body}abc`],
  ["GitLab", `glpat-${body}`],
  ["npm", `npm_${body.slice(0, 36)}`],
  ["Hugging Face", `hf_${body.slice(0, 34)}`],
  ["Stripe", `sk_live_${body.slice(0, 24)}`],
  ["SendGrid", ["SG", body.slice(0, 22), `${body}abc`].join(".")]
]

const esc = "\u001b"

/** What may stand within a token and is not seen once the text is shown. */
export const disguises: ReadonlyArray<string> = [
  `${esc}[32m`,
  `${esc}[m`,
  `${esc}[1;38;5;200m`,
  "\u009b0m",
  `${esc}]8;;https://a.test${esc}\\`,
  `${esc}]8;;\u0007`,
  `${esc}(B`,
  `${esc}Pq${esc}\\`,
  `${esc}[2 q`,
  ..."\u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u202e\u2060\u2064\u2066\ufe0f\ufeff\ufff9\u0000\u0008\u007f",
  "\u{e0041}",
  "\u{e0100}",
  "**",
  "*",
  "`",
  "~~",
  "\\u001b[0m",
  "\\u200b",
  "\\\\u200b",
  "%E2%80%8B",
  "%25E2%2580%258B",
  "&#8203;",
  "&ZeroWidthSpace;",
  "<b>",
  "<!-- x -->",
  "<!-- a > b -->",
  "<!-- a\nb -->",
  "<? a > b ?>",
  "<b title=\"a > b\">",
  "<b\nid='1'>",
  "<![CDATA["
]

/** What may stand before and behind one. */
export const surroundings: ReadonlyArray<string> = [
  ...disguises,
  `${esc}[32`,
  esc,
  "",
  " ",
  "\n+",
  "end",
  "\\n",
  "token=",
  "\"",
  "(",
  "__",
  "é",
  "> "
]

const Places = Schema.Array(Schema.Struct({ at: Schema.Int, what: Schema.Literals(disguises) })).check(
  Schema.isMaxLength(8)
)

/** One token in disguise: which, where what stands in it, and what is around it. */
export const Disguised = Schema.Struct({
  token: Schema.Literals(disguisedTokens.map(([, token]) => token)),
  places: Places,
  before: Schema.Array(Schema.Literals(surroundings)).check(Schema.isMaxLength(3)),
  behind: Schema.Array(Schema.Literals(surroundings)).check(Schema.isMaxLength(3))
})

export const disguise = ({ before, behind, places, token }: typeof Disguised.Type): string => {
  const put = places.map(({ at, what }) => ({ at: 1 + Math.abs(at) % (token.length - 1), what })).toSorted((a, b) =>
    b.at - a.at
  )
  const inside = put.reduce((text, { at, what }) => text.slice(0, at) + what + text.slice(at), token)
  return before.join("") + inside + behind.join("")
}

/** Letters and digits alone: whatever a reader, a terminal or Markdown takes away, these are left in this order. */
const bare = (text: string): string => text.replace(/[^A-Za-z0-9]/g, "")

/** Whether the text still shows the token's last 16 letters and digits, which carry its secret. */
export const shows = (text: string, token: string): boolean => bare(text).includes(bare(token).slice(-16))
