/** What the transcript file says of a turn, in the live model's terms. Lines are untrusted; what does not fit is left out. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { LiveInput } from "./LiveInput.ts"

const optional = Schema.optionalKey
const Block = Schema.Union([
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("tool_use"),
    id: Schema.String,
    name: Schema.String,
    input: optional(Schema.Unknown)
  }),
  Schema.Struct({
    type: Schema.Literal("tool_result"),
    tool_use_id: Schema.String,
    is_error: optional(Schema.NullOr(Schema.Boolean))
  }),
  Schema.Struct({ type: Schema.Literals(["thinking", "redacted_thinking", "image", "document"]) })
])
const Line = Schema.Struct({
  type: Schema.Literals(["assistant", "user"]),
  isSidechain: optional(Schema.Boolean),
  promptId: optional(Schema.NullOr(Schema.String)),
  message: Schema.Struct({
    model: optional(Schema.NullOr(Schema.String)),
    content: Schema.Union([Schema.String, Schema.Array(Schema.Unknown)])
  }),
  isApiErrorMessage: optional(Schema.NullOr(Schema.Boolean))
})
const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))
const decodeBlock = Schema.decodeUnknownOption(Block)

export interface ToldLine {
  /** The prompt that a person's line began or a tool's result belongs to; the agent's own lines do not say. */
  readonly promptId: string | undefined
  readonly inputs: ReadonlyArray<LiveInput>
}

const inputOf = (block: typeof Block.Type): ReadonlyArray<LiveInput> => {
  switch (block.type) {
    case "text":
      return [{ _tag: "Text", by: "file", text: block.text }]
    case "tool_use":
      return [{ _tag: "Tool", by: "file", id: block.id, name: block.name, input: block.input }]
    case "tool_result":
      return [{ _tag: "ToolEnd", id: block.tool_use_id, failed: block.is_error === true }]
    default:
      return []
  }
}

/** None for lines of other kinds and of subagents; what the CLI itself put in the model's mouth is no text. */
export const toldBy = (line: string): Option.Option<ToldLine> => {
  // Most bytes of a transcript are lines of other kinds; they are not worth parsing.
  if (!line.includes("\"type\":\"assistant\"") && !line.includes("\"type\":\"user\"")) return Option.none()
  return Option.filter(decodeLine(line), (decoded) => decoded.isSidechain !== true).pipe(
    Option.map(({ type, message, promptId, isApiErrorMessage }) => {
      const synthetic = message.model === "<synthetic>" || isApiErrorMessage === true
      const blocks = typeof message.content === "string" || synthetic
        ? []
        : message.content.flatMap((block) => Option.toArray(decodeBlock(block)))
      const fitting = blocks.filter((block) => (block.type === "tool_result") === (type === "user"))
      return { promptId: promptId ?? undefined, inputs: fitting.flatMap(inputOf) }
    })
  )
}
