/**
 * What secrets look like when their value is not known: the shapes of tokens that services document, private keys, and
 * what stands behind a label that names a secret. Each pattern is linear to match. Pure.
 */

/** A letter and a digit of either case somewhere in what follows: words and identifiers of code have no such mix. */
const mixed = "(?=[^A-Z\\s]{0,64}[A-Z])(?=[^a-z\\s]{0,64}[a-z])(?=[^0-9\\s]{0,64}[0-9])"

/** A digit, or sixteen letters in a row: `your-bot-token` in a manual has neither. */
const noWords = "(?=[A-Za-z%/+=-]{0,64}[0-9]|[A-Za-z-]{0,32}[A-Za-z]{16})"

/**
 * Shapes that nothing else has, found behind a letter as well (`endxoxb-…`). Sources: Slack "Token types", GitHub
 * "About authentication to GitHub" and its 2026 note on stateless `ghs_` tokens (dots, about 520 characters), AWS "IAM
 * identifiers", RFC 7519, and the prefixes that the named services document.
 */
const distinctive: ReadonlyArray<string> = [
  // Slack: bot, user, refresh, configuration, session, workflow and app-level tokens, and incoming webhooks.
  String.raw`xoxd-${noWords}[A-Za-z0-9%/+=-]{8,}`,
  String.raw`xox[a-z](?:\.xox[a-z])?-${noWords}[A-Za-z0-9-]{8,}`,
  String.raw`xwfp-${noWords}[A-Za-z0-9-]{8,}`,
  String.raw`xapp-[0-9]{1,3}-[A-Za-z0-9-]{8,}`,
  String.raw`hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{8,}`,
  // GitHub: classic, stateless and fine-grained.
  String.raw`gh[pousr]_[A-Za-z0-9._-]{30,}`,
  String.raw`github_pat_[A-Za-z0-9_]{22,}`,
  // Anthropic, OpenAI, Google, Hugging Face.
  String.raw`sk-ant-[A-Za-z0-9_-]{8,}`,
  String.raw`sk-(?:proj-|svcacct-|admin-)?${mixed}[A-Za-z0-9_-]{32,}`,
  String.raw`AIza[A-Za-z0-9_-]{35,}`,
  String.raw`ya29\.[A-Za-z0-9._-]{20,}`,
  String.raw`hf_[A-Za-z0-9]{30,}`,
  // AWS access key ids. Longer runs of letters are sequences of genes and proteins; a digit may be what a cut escape left.
  String.raw`(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Z])`,
  // GitLab, npm, PyPI, Stripe, SendGrid, DigitalOcean.
  String.raw`gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_.-]{20,}`,
  String.raw`npm_[A-Za-z0-9]{36,}`,
  String.raw`pypi-AgE[A-Za-z0-9_-]{30,}`,
  String.raw`(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}`,
  String.raw`whsec_[A-Za-z0-9+/]{20,}`,
  String.raw`SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43,}`,
  String.raw`do[opr]_v1_[a-f0-9]{64,}`,
  // JSON web tokens: three base64url parts, the first two JSON objects. Tried once for each run of base64url, at its
  // first eyJ, or a text of nothing else would be walked from each of them.
  String.raw`(?<!eyJ[A-Za-z0-9_-]*?)eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`,
  // Our own tokens of hooks and of the proxy, so that none needs to be remembered after its run.
  String.raw`km[hp]_[A-Za-z0-9_-]{43,}`
]

/** How the distinctive shapes begin, letter by letter: where escapes stand between these, each may be a cut one. */
export const prefixes: ReadonlyArray<string> = [
  ..."abcdefghijklmnopqrstuvwxyz".split("").map((letter) => `xox${letter}`),
  "xwfp-",
  "xapp-",
  "hooks.",
  ..."pousr".split("").map((letter) => `gh${letter}_`),
  "github_pat_",
  "sk-",
  "AIza",
  "ya29.",
  "hf_",
  "AKIA",
  "ASIA",
  "ABIA",
  "ACCA",
  "glpat-",
  "glptt-",
  "gldt-",
  "glrt-",
  "glcbt-",
  "glsoat-",
  "npm_",
  "pypi-",
  "sk_",
  "rk_",
  "whsec_",
  "SG.",
  "dop_",
  "doo_",
  "dor_",
  "eyJ",
  "kmh_",
  "kmp_"
]

/** Shapes that the end of an ordinary word can begin (`task-…`, `MSG.…`): only where no letter or digit stands before. */
const bounded: ReadonlyArray<string> = [
  String.raw`sk-(?:proj-|svcacct-|admin-)?(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{32,}`,
  String.raw`(?:sk|rk)_[A-Za-z0-9]{20,}`,
  String.raw`SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`
]

/**
 * A boundary: no letter or digit before, or an escape such as `\n` in text that is itself JSON (a tool that printed a
 * JSON file), a percent escape, or a terminal escape that was cut.
 */
const boundary = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\u001b\[[0-9;:]{0,16}))`

/**
 * A private key in PEM, whole; or, when its end is missing (cut text), as far as it goes on looking like one: headers,
 * base64, and the marks that diffs and quotes put before each line.
 */
const pem = String.raw`-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`
  + String.raw`(?:(?:[^"-]|-(?!----BEGIN ))*?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`
  + String.raw`|(?:[A-Za-z0-9+/=]{16,}|\s|\\[nr]|[>|+ -](?=[A-Za-z0-9+/=]{16})|[A-Z][A-Za-z-]{2,20}: [^\n"\\]{0,200})*)`

/** All of them. */
export const shapePattern = new RegExp(
  `${pem}|${distinctive.join("|")}|(?=sk[-_]|rk_|SG\\.)${boundary}(?:${bounded.join("|")})`,
  "g"
)

/** Between a label and its value: quotes (escaped ones too), a bracket, and what JSON, YAML, code, shells and XML put. */
const between = String.raw`\\{0,4}["'\x60]?[\])]?\s{0,8}(?:=>|[:=|>,])\s{0,8}\\{0,4}["'\x60]?`

/** What follows these words is a secret whatever it looks like; the first group stays. */
export const labelled: ReadonlyArray<RegExp> = [
  new RegExp(
    String.raw`(authorization${between}(?:bearer|basic|token)\s{1,8})[A-Za-z0-9._~+/=-]{8,}`,
    "gi"
  ),
  new RegExp(String.raw`(x-api-key${between})[A-Za-z0-9._~+/=-]{8,}`, "gi"),
  // Forty characters of base64: AWS "IAM identifiers", and how its CLI and its API print them.
  new RegExp(String.raw`(secret[_-]?access[_-]?key${between})[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/])`, "gi"),
  new RegExp(
    String
      .raw`((?:[Ss]ession|SESSION|[Ss]ecurity|SECURITY)[_-]?(?:[Tt]oken|TOKEN)${between})${mixed}[A-Za-z0-9+/=]{20,}`,
    "g"
  ),
  /(\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@"'\\<>]{0,100}:)[^\s/:@"'\\<>]{3,300}(?=@)/gi
]
