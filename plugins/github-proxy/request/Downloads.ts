/**
 * Addresses that GitHub signed for one download, as allowed answers named them. Each is open for this sandbox for a short
 * time and for nothing else; without one no presigned host answers.
 */
import * as Schema from "effect/Schema"

/** GitHub's own signatures last five minutes or less; a client follows at once. */
const openMillis = 300_000

/** Of LFS answers, which say it; GitHub's say an hour. */
const maxOpenMillis = 3_600_000

/** The oldest goes when there are more. */
const maxOpen = 4_096

export interface Opening {
  readonly millis?: number
  /** Fields that the signature covers, as GitHub gave them: they go with the request in place of the client's. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Downloads {
  /** Opens an address for one method; none that is not https on port 443. */
  readonly open: (url: string, method: "GET" | "PUT", how?: Opening) => void
  /** The target is what the request says, byte for byte. A HEAD is as good as the GET. Undefined: not open. */
  readonly find: (method: string, host: string, target: string) => Readonly<Record<string, string>> | undefined
}

const nameOf = (method: string, host: string, target: string): string =>
  `${method === "HEAD" ? "GET" : method} ${host}${target}`

export const makeDownloads = (now: () => number): Downloads => {
  const opened = new Map<string, { readonly until: number; readonly headers: Readonly<Record<string, string>> }>()
  return {
    open: (url, method, { headers = {}, millis = openMillis } = {}) => {
      const parsed = URL.parse(url)
      if (parsed === null || parsed.protocol !== "https:" || parsed.port !== "") return
      const target = url.slice(url.indexOf("/", "https://".length)).split("#", 1)[0] ?? ""
      const name = nameOf(method, parsed.hostname, target)
      opened.delete(name)
      opened.set(name, { until: now() + Math.min(millis, maxOpenMillis), headers })
      const oldest = opened.keys().next().value
      if (opened.size > maxOpen && oldest !== undefined) opened.delete(oldest)
    },
    find: (method, host, target) => {
      const found = opened.get(nameOf(method, host, target))
      return found !== undefined && found.until > now() ? found.headers : undefined
    }
  }
}

const Action = Schema.Struct({
  href: Schema.String,
  header: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
  expires_in: Schema.optionalKey(Schema.Int)
})
const LfsAnswer = Schema.fromJsonString(Schema.Struct({
  objects: Schema.Array(Schema.Struct({
    actions: Schema.optionalKey(Schema.Struct({
      download: Schema.optionalKey(Action),
      upload: Schema.optionalKey(Action)
    }))
  }))
}))

/** What an LFS batch answers with. Source: git-lfs, docs/api/batch.md. */
export const decodeLfsAnswer = Schema.decodeUnknownOption(LfsAnswer)

/** Fields of S3's and Azure's signatures (AWS Signature Version 4; Azure "Put Blob"); whatever else is named stays here. */
const signed = /^(?:authorization|x-amz-[a-z0-9-]+|x-ms-[a-z0-9-]+)$/i

/** Opens what an LFS answer names; what is no such answer opens nothing. */
export const openLfs = (downloads: Downloads, answer: typeof LfsAnswer.Type): void => {
  for (const { actions } of answer.objects) {
    for (const [action, method] of [[actions?.download, "GET"], [actions?.upload, "PUT"]] as const) {
      if (action === undefined) continue
      downloads.open(action.href, method, {
        millis: (action.expires_in ?? 300) * 1_000,
        headers: Object.fromEntries(Object.entries(action.header ?? {}).filter(([name]) => signed.test(name)))
      })
    }
  }
}
