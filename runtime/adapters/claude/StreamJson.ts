/**
 * The lines that `claude --output-format stream-json` prints, as far as a turn needs them. They come from the agent's
 * side: capped, decoded by schema, and a line that fits nothing here is ignored.
 */
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"

const InitLine = Schema.Struct({
  type: Schema.Literal("system"),
  subtype: Schema.Literal("init"),
  session_id: Schema.String,
  model: Schema.String
})

const RetryLine = Schema.Struct({
  type: Schema.Literal("system"),
  subtype: Schema.Literal("api_retry"),
  attempt: Schema.Finite,
  max_retries: Schema.Finite,
  error_status: Schema.NullOr(Schema.Finite),
  error: Schema.String
})

const TextBlock = Schema.Struct({ type: Schema.Literal("text"), text: Schema.String })
const ToolUseBlock = Schema.Struct({
  type: Schema.Literal("tool_use"),
  id: Schema.String,
  name: Schema.String,
  input: Schema.Unknown
})
const OtherBlock = Schema.Struct({ type: Schema.String })

const AssistantLine = Schema.Struct({
  type: Schema.Literal("assistant"),
  /** Set for a subagent's lines: the call that started it. */
  parent_tool_use_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
  /** Of a subagent, as its hooks name it. */
  agent_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
  subagent_type: Schema.optionalKey(Schema.NullOr(Schema.String)),
  /** Set when the text is an API error that the CLI puts in the model's mouth. */
  error: Schema.optionalKey(Schema.Unknown),
  message: Schema.Struct({
    id: Schema.String,
    content: Schema.Array(Schema.Union([TextBlock, ToolUseBlock, OtherBlock]))
  })
})

const ToolResultBlock = Schema.Struct({
  type: Schema.Literal("tool_result"),
  tool_use_id: Schema.String,
  is_error: Schema.optionalKey(Schema.NullOr(Schema.Boolean))
})

const UserLine = Schema.Struct({
  type: Schema.Literal("user"),
  parent_tool_use_id: Schema.optionalKey(Schema.NullOr(Schema.String)),
  message: Schema.Struct({
    content: Schema.Union([Schema.String, Schema.Array(Schema.Union([ToolResultBlock, OtherBlock]))])
  })
})

/** The line that decides a turn. `subtype` is not read for success: it says `success` on API errors. */
export const ResultLine = Schema.Struct({
  type: Schema.Literal("result"),
  subtype: Schema.String,
  is_error: Schema.Boolean,
  num_turns: Schema.optionalKey(Schema.Finite),
  result: Schema.optionalKey(Schema.NullOr(Schema.String)),
  errors: Schema.optionalKey(Schema.Array(Schema.String)),
  terminal_reason: Schema.optionalKey(Schema.NullOr(Schema.String)),
  api_error_status: Schema.optionalKey(Schema.NullOr(Schema.Finite)),
  session_id: Schema.optionalKey(Schema.String),
  /** US dollars of the whole session, across its processes. */
  total_cost_usd: Schema.optionalKey(Schema.NullOr(Schema.Finite))
})
export type ResultLine = typeof ResultLine.Type

const Line = Schema.Union([InitLine, RetryLine, AssistantLine, UserLine, ResultLine])
export type Line = typeof Line.Type

/** Longest line that is read; a longer one is skipped whole. The CLI's own tool results stay far below. */
export const maxLineBytes = 8 * 1024 * 1024

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Line))

/** One line without its newline; none for anything we do not know. */
export const decodeLine = (line: string): Option.Option<Line> => decode(line)

/** The one user message of a run, with its newline. `uuid` is the CLI's own idempotency key. */
export const encodeUserMessage = (uuid: string, text: string): string =>
  `${JSON.stringify({ type: "user", uuid, message: { role: "user", content: text } })}\n`

/**
 * Cuts bytes into lines and keeps the rest for later. A line over `maxLineBytes` is dropped up to its newline, so a
 * writer that never ends a line costs no memory.
 */
export class LineSplitter {
  #parts: Array<Buffer> = []
  #size = 0
  #skipping = false

  /** The complete lines of `chunk` and of what came before it. Only complete lines count. */
  push(chunk: Buffer): ReadonlyArray<string> {
    const lines: Array<string> = []
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#keep(chunk.subarray(from, end))
      if (!this.#skipping) lines.push(Buffer.concat(this.#parts).toString("utf8"))
      this.#reset(false)
      from = end + 1
    }
    this.#keep(chunk.subarray(from))
    return lines
  }

  #keep(part: Buffer): void {
    if (this.#skipping) return
    this.#size += part.length
    if (this.#size > maxLineBytes) this.#reset(true)
    // Copied, because the reader uses its buffer again.
    else if (part.length > 0) this.#parts.push(Buffer.from(part))
  }

  #reset(skipping: boolean): void {
    this.#parts = []
    this.#size = 0
    this.#skipping = skipping
  }
}
