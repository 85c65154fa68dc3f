/**
 * Takes secrets out of text before it leaves the sandbox: the exact values the runtime handed out, in the encodings
 * they are met in, and the known shapes of tokens. One redactor covers posts and the uploaded session.
 */

/** What stands in a secret's place: ASCII without quotes or backslashes, so it is safe inside a JSON string. */
export const redactedMark = "[redacted]"

/** A shorter value is left alone: it would be found all over ordinary text. */
export const minSecretLength = 8

/** Levels of arrays and objects that are walked; what lies deeper is replaced whole. */
export const maxJsonDepth = 200

/**
 * Token shapes, each linear to match and made of characters that need no JSON escape. Sources: Slack "Token types",
 * GitHub "About authentication to GitHub" and its 2026 note on stateless `ghs_` tokens (dots, longer), AWS "IAM
 * identifiers", RFC 7519, and the prefixes that the named services document.
 */
const shapes: ReadonlyArray<string> = [
  // Slack: bot, user, refresh, configuration and app-level tokens, and incoming webhooks.
  String.raw`xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{8,}`,
  String.raw`xapp-[A-Za-z0-9-]{8,}`,
  String.raw`hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{8,}`,
  // GitHub: classic, stateless and fine-grained.
  String.raw`gh[pousr]_[A-Za-z0-9._-]{36,}`,
  String.raw`github_pat_[A-Za-z0-9_]{22,}`,
  // Anthropic, OpenAI, Google, Hugging Face.
  String.raw`sk-ant-[A-Za-z0-9_-]{8,}`,
  String.raw`sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,}`,
  String.raw`AIza[A-Za-z0-9_-]{35}`,
  String.raw`ya29\.[A-Za-z0-9._-]{20,}`,
  String.raw`hf_[A-Za-z0-9]{30,}`,
  // AWS access key ids.
  String.raw`(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])`,
  // GitLab, npm, PyPI, Stripe, SendGrid, DigitalOcean.
  String.raw`gl(?:pat|ptt|dt|rt|cbt|soat)-[A-Za-z0-9_.-]{20,}`,
  String.raw`npm_[A-Za-z0-9]{36}`,
  String.raw`pypi-AgE[A-Za-z0-9_-]{30,}`,
  String.raw`(?:sk|rk|whsec)_(?:live_|test_)?[A-Za-z0-9]{20,}`,
  String.raw`SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`,
  String.raw`do[opr]_v1_[a-f0-9]{64}`,
  // JSON web tokens: three base64url parts, the first two JSON objects.
  String.raw`eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`,
  // Our own hook tokens, so that none needs to be remembered after its run.
  String.raw`kmh_[A-Za-z0-9_-]{43}`
]

/**
 * A token begins where no letter or digit stands before it, or after an escape such as `\n` in text that is itself
 * JSON (a tool that printed a JSON file).
 */
const shapeStart = String.raw`(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2}))`

/** A private key in PEM, whole; or, when its end is missing (cut text), as far as it goes on looking like base64. */
const pem = String.raw`-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----`
  + String.raw`(?:[^"]{0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|(?:[A-Za-z0-9+/=]{16,}|\s|\\[nr])*)`

/** What follows these words is a secret whatever it looks like; the words themselves stay. */
const labelled: ReadonlyArray<RegExp> = [
  /(\bauthorization["']?\s*[:=]\s*["']?(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{8,}/gi,
  /(\bx-api-key["']?\s*[:=]\s*["']?)[A-Za-z0-9._~+/=-]{8,}/gi,
  /(\baws_?secret_?access_?key["']?\s*[:=]\s*["']?)[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/])/gi,
  /(\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@"'\\<>]{0,100}:)[^\s/:@"'\\<>]{3,300}(?=@)/gi
]

const shapePattern = new RegExp(`${pem}|${shapeStart}(?:${shapes.join("|")})`, "g")

const escapePattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

const jsonEscaped = (text: string): string => JSON.stringify(text).slice(1, -1)

/**
 * The part of base64 text that is the same whatever stands before and after `bytes`, for each of the three ways in
 * which they can fall on the groups of three (`user:token` in basic authentication falls on any of them).
 */
const base64Cores = (bytes: Buffer): ReadonlyArray<string> =>
  [0, 1, 2].map((offset) => {
    const encoded = Buffer.concat([Buffer.alloc(offset), bytes]).toString("base64").replace(/=+$/, "")
    const tail = (offset + bytes.length) % 3
    return encoded.slice(offset === 0 ? 0 : offset + 1, tail === 0 ? undefined : -1)
  })

/** Every spelling of one secret that is looked for. */
const spellings = (secret: string): ReadonlyArray<string> => {
  const bytes = Buffer.from(secret, "utf8")
  const cores = base64Cores(bytes)
  const url = encodeURIComponent(secret.toWellFormed())
  const lines = secret.includes("\n") ? secret.split(/\r?\n/).filter((line) => line.length >= 20) : []
  return [
    secret,
    jsonEscaped(secret),
    jsonEscaped(jsonEscaped(secret)),
    url,
    url.replace(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase()),
    ...cores,
    ...cores.map((core) => core.replaceAll("+", "-").replaceAll("/", "_")),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...lines
  ]
}

const parse = (line: string): { readonly value: unknown } | undefined => {
  try {
    const value: unknown = JSON.parse(line)
    return { value }
  } catch {
    return undefined
  }
}

/** A pure redactor: the same text always gives the same result, and what it returns is not changed by a second pass. */
export interface Redactor {
  /** For text of any kind. Not for JSON source: use `jsonLine`, which looks inside the strings. */
  readonly text: (text: string) => string
  /**
   * One line of JSONL: every string and key of the parsed value is redacted, so valid JSON stays valid JSON. A line
   * in which nothing is found is returned byte for byte. A line that is no JSON is treated as text.
   */
  readonly jsonLine: (line: string) => string
  /** For values that were parsed already. Strings, keys, and nothing else, change. */
  readonly value: (value: unknown) => unknown
}

/** Looks for `secrets` (those of at least 8 characters) and for the known shapes of tokens. */
export const makeRedactor = (secrets: Iterable<string>): Redactor => {
  const exact = [...new Set(Array.from(secrets, spellings).flat())]
    .filter((spelling) => spelling.length >= minSecretLength)
    .toSorted((a, b) => b.length - a.length)
  const exactPattern = exact.length === 0 ? undefined : new RegExp(exact.map(escapePattern).join("|"), "g")

  const text = (input: string): string => {
    let output = exactPattern === undefined ? input : input.replace(exactPattern, redactedMark)
    output = output.replace(shapePattern, redactedMark)
    for (const pattern of labelled) output = output.replace(pattern, `$1${redactedMark}`)
    return output
  }

  const walk = (value: unknown, depth: number): unknown => {
    if (typeof value === "string") return text(value)
    if (typeof value !== "object" || value === null) return value
    if (depth > maxJsonDepth) return redactedMark
    if (Array.isArray(value)) {
      const items = value.map((item: unknown) => walk(item, depth + 1))
      return items.some((item, index) => item !== value[index]) ? items : value
    }
    const entries = Object.entries(value)
    const walked = entries.map(([key, item]): [string, unknown] => [text(key), walk(item, depth + 1)])
    const changed = walked.some(([key, item], index) => {
      const [oldKey, oldItem] = entries[index] ?? []
      return key !== oldKey || item !== oldItem
    })
    return changed ? Object.fromEntries(walked) : value
  }

  const jsonLine = (line: string): string => {
    const parsed = parse(line)
    if (parsed === undefined) return text(line)
    const redacted = walk(parsed.value, 0)
    return redacted === parsed.value ? line : JSON.stringify(redacted)
  }

  return { text, jsonLine, value: (value) => walk(value, 0) }
}

/** Bytes of characters that a stream may hold back while it waits for the end of a line; more is cut there. */
export const maxHeldCharacters = 4 * 1024 * 1024

/**
 * Redacts JSONL that arrives in pieces: only whole lines come out, so a secret that straddles two pieces is seen
 * whole. `end` gives what is left. A line over 4 MiB characters is dropped and replaced by a JSON note, because half
 * a line can hide half a secret.
 */
export const makeJsonLines = (redactor: Redactor): {
  readonly push: (chunk: string) => string
  readonly end: () => string
} => {
  let held: Array<string> = []
  let heldLength = 0
  let dropping = false
  const note = JSON.stringify({ type: "redacted", reason: "the line is too long to be checked for secrets" })
  const take = (line: string): string => {
    const whole = held.join("") + line
    held = []
    heldLength = 0
    if (dropping) {
      dropping = false
      return note
    }
    return redactor.jsonLine(whole)
  }
  const hold = (piece: string): void => {
    heldLength += piece.length
    if (heldLength > maxHeldCharacters) {
      dropping = true
      held = []
    } else held.push(piece)
  }
  return {
    push: (chunk) => {
      let output = ""
      let start = 0
      for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
        output += take(chunk.slice(start, end)) + "\n"
        start = end + 1
      }
      if (start < chunk.length) hold(chunk.slice(start))
      return output
    },
    end: () => heldLength === 0 ? "" : take("")
  }
}
