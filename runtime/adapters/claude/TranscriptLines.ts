/** What Claude Code's transcript file says of a turn. Lines are untrusted; what does not fit is left out. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Said, ToldLine } from "../../ports/Sessions.ts"

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

const saidBy = (block: typeof Block.Type): ReadonlyArray<Said> => {
  switch (block.type) {
    case "text":
      return [{ _tag: "Text", text: block.text }]
    case "tool_use":
      return [{ _tag: "ToolUsed", id: block.id, name: block.name, input: block.input }]
    case "tool_result":
      return [{ _tag: "ToolFinished", id: block.tool_use_id, isError: block.is_error === true }]
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
      return { promptId: promptId ?? undefined, said: fitting.flatMap(saidBy) }
    })
  )
}
