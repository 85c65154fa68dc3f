/** Counts what the model API says it used, from the bytes that pass through the door, without holding them back. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Tokens of one or more requests. */
export interface Usage {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

export const noUsage: Usage = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }

const Count = Schema.optionalKey(Schema.NullOr(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))))
const UsageFields = Schema.Struct({
  input_tokens: Count,
  output_tokens: Count,
  cache_read_input_tokens: Count,
  cache_creation_input_tokens: Count
})

const StreamEvent = Schema.Union([
  Schema.Struct({
    type: Schema.Literal("message_start"),
    message: Schema.Struct({ model: Schema.optionalKey(Schema.String), usage: UsageFields })
  }),
  Schema.Struct({ type: Schema.Literal("message_delta"), usage: UsageFields }),
  Schema.Struct({ type: Schema.Literal("message"), model: Schema.optionalKey(Schema.String), usage: UsageFields })
])
const decodeEvent = Schema.decodeUnknownOption(Schema.fromJsonString(StreamEvent))

/** The figures of an event are totals of the message so far, so a later one replaces an earlier one. */
const merge = (before: Usage, fields: typeof UsageFields.Type): Usage => ({
  input: fields.input_tokens ?? before.input,
  output: fields.output_tokens ?? before.output,
  cacheRead: fields.cache_read_input_tokens ?? before.cacheRead,
  cacheWrite: fields.cache_creation_input_tokens ?? before.cacheWrite
})

/** Longest line that is looked at; text deltas are far shorter, and the two events that count are about 500 bytes. */
const maxLineChars = 64 * 1024
/** Longest JSON answer (no stream) that is looked at. */
const maxJsonBytes = 8 * 1024 * 1024

/** Watches one answer. Feed it every chunk; read `usage` at the end. */
export class UsageMeter {
  usage: Usage = noUsage
  #rest = ""
  #parts: Array<Buffer> = []
  #size = 0
  readonly #stream: boolean
  readonly #decoder = new TextDecoder()

  constructor(contentType: string) {
    this.#stream = contentType.includes("text/event-stream")
  }

  push(chunk: Buffer): void {
    if (!this.#stream) {
      this.#size += chunk.length
      if (this.#size <= maxJsonBytes) this.#parts.push(chunk)
      return
    }
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n")
    this.#rest = (lines.pop() ?? "").slice(0, maxLineChars)
    for (const line of lines) {
      // Text deltas are most of a stream; only the two kinds that carry usage are parsed.
      if (line.startsWith("data:") && line.includes("\"usage\"")) this.#take(line.slice(5))
    }
  }

  /** The answer is over. */
  end(): void {
    if (!this.#stream && this.#size > 0 && this.#size <= maxJsonBytes) {
      this.#take(Buffer.concat(this.#parts).toString("utf8"))
    }
  }

  #take(json: string): void {
    const event = decodeEvent(json)
    if (Option.isNone(event)) return
    this.usage = merge(this.usage, event.value.type === "message_start" ? event.value.message.usage : event.value.usage)
  }
}
