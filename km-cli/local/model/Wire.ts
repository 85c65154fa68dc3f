/**
 * The Messages API's wire forms of a scripted reply: server-sent events, or one JSON message.
 * Source: docs.anthropic.com, "Messages" and "Streaming Messages".
 */
import type { Block } from "./Scenario.ts"

export interface WireEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** What stands for tokens: one for four characters, at least one. Only good for seeing that counting works. */
export const tokensOf = (text: string): number => Math.max(1, Math.ceil(text.length / 4))

const outputTokens = (blocks: ReadonlyArray<Block>): number =>
  blocks.reduce((sum, block) => sum + tokensOf(block.kind === "text" ? block.text : JSON.stringify(block.input)), 0)

const stopReason = (blocks: ReadonlyArray<Block>): string =>
  blocks.some((block) => block.kind === "tool") ? "tool_use" : "end_turn"

/** Ids are made from the request's number, so that a log can be read beside a transcript. */
export const messageId = (request: number): string => `msg_scripted_${request.toString().padStart(6, "0")}`
const toolId = (request: number, index: number): string =>
  `toolu_scripted_${request.toString().padStart(6, "0")}_${index}`

const head = (request: number, model: string) => ({
  id: messageId(request),
  type: "message",
  role: "assistant",
  model
})

/** The first event of a stream. */
export const startEvent = (request: number, model: string, inputTokens: number): WireEvent => ({
  type: "message_start",
  message: {
    ...head(request, model),
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: inputTokens, output_tokens: 1 }
  }
})

/** Pieces of about 16 characters, never splitting a surrogate pair. */
const pieces = (text: string): ReadonlyArray<string> => {
  const size = text.length > 4_000 ? 1_000 : 16
  const points = Array.from(text)
  return Array.from(
    { length: Math.ceil(points.length / size) },
    (_, i) => points.slice(i * size, (i + 1) * size).join("")
  )
}

/** A block begins. */
export const blockStart = (index: number, block: Block, request: number): WireEvent => ({
  type: "content_block_start",
  index,
  content_block: block.kind === "text"
    ? { type: "text", text: "" }
    : { type: "tool_use", id: toolId(request, index), name: block.name, input: {} }
})

/** What a block carries, in order. */
export const blockDeltas = (index: number, block: Block): ReadonlyArray<WireEvent> =>
  block.kind === "text"
    ? pieces(block.text).map((piece) => ({
      type: "content_block_delta",
      index,
      delta: { type: "text_delta", text: piece }
    }))
    : [{
      type: "content_block_delta",
      index,
      delta: { type: "input_json_delta", partial_json: JSON.stringify(block.input) }
    }]

export const blockStop = (index: number): WireEvent => ({ type: "content_block_stop", index })

/** The two events that end a stream. */
export const endEvents = (blocks: ReadonlyArray<Block>): ReadonlyArray<WireEvent> => [
  {
    type: "message_delta",
    delta: { stop_reason: stopReason(blocks), stop_sequence: null },
    usage: { output_tokens: outputTokens(blocks) }
  },
  { type: "message_stop" }
]

/** One event as it goes over the wire. */
export const encodeEvent = (event: WireEvent): string => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

/** The whole reply as one JSON message, for a request that does not stream. */
export const wholeMessage = (
  request: number,
  model: string,
  inputTokens: number,
  blocks: ReadonlyArray<Block>
): unknown => ({
  ...head(request, model),
  content: blocks.map((block, index) =>
    block.kind === "text"
      ? { type: "text", text: block.text }
      : { type: "tool_use", id: toolId(request, index), name: block.name, input: block.input }
  ),
  stop_reason: stopReason(blocks),
  stop_sequence: null,
  usage: { input_tokens: inputTokens, output_tokens: outputTokens(blocks) }
})

/** The API's error body. */
export const errorBody = (type: string, message: string, request: number): unknown => ({
  type: "error",
  error: { type, message },
  request_id: `req_scripted_${request}`
})
