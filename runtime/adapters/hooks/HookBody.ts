/** From the bytes of a hook call to an event that is safe to keep: decoded by schema, and without what nobody shows. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { HookEvent } from "../../domain/turn/HookEvent.ts"

/** Characters kept of one text inside a tool's input; a tool line shows at most 120. */
const maxInputCharacters = 4_096
/** Keys kept of a tool's input. */
const maxInputKeys = 24
/** Characters kept of a prompt or a note; the thread shows the beginning only. */
const maxNoteCharacters = 16_384

export type Parsed =
  | { readonly kind: "event"; readonly event: HookEvent }
  /** An event that a newer Claude Code sends and we do not use: no failure. */
  | { readonly kind: "unused" }
  | { readonly kind: "not-json" }
  | { readonly kind: "wrong-shape" }

const decode = Schema.decodeUnknownOption(HookEvent)
const named = Schema.decodeUnknownOption(Schema.Struct({ hook_event_name: Schema.String }))
const known: ReadonlySet<string> = new Set(HookEvent.members.map((member) => member.fields.hook_event_name.literal))
const utf8 = new TextDecoder("utf-8", { fatal: true })

const slimInput = (input: unknown): unknown => {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return {}
  const texts = Object.entries(input).flatMap(([key, value]): ReadonlyArray<[string, string]> =>
    typeof value === "string" ? [[key.slice(0, 100), value.slice(0, maxInputCharacters)]] : []
  )
  return Object.fromEntries(texts.slice(0, maxInputKeys))
}

/** Tool inputs can be a megabyte, and a queue of them gigabytes: only the beginnings of their texts are kept. */
const slim = (event: HookEvent): HookEvent => {
  switch (event.hook_event_name) {
    case "PostToolUse":
      return "tool_input" in event ? { ...event, tool_input: slimInput(event.tool_input) } : event
    case "PostToolUseFailure": {
      const { error, ...rest } = "tool_input" in event ? { ...event, tool_input: slimInput(event.tool_input) } : event
      return error === undefined ? rest : { ...rest, error: error.slice(0, maxInputCharacters) }
    }
    case "UserPromptSubmit":
      return event.prompt === undefined ? event : { ...event, prompt: event.prompt.slice(0, maxNoteCharacters) }
    case "Notification":
      return event.message === undefined ? event : { ...event, message: event.message.slice(0, maxNoteCharacters) }
    default:
      return event
  }
}

/** Never throws. Bytes over the cap must have been refused before. */
export const parseHookBody = (bytes: Uint8Array): Parsed => {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(bytes))
  } catch {
    return { kind: "not-json" }
  }
  const name = Option.getOrUndefined(named(value))?.hook_event_name
  if (name === undefined) return { kind: "wrong-shape" }
  if (!known.has(name)) return { kind: "unused" }
  return Option.match(decode(value), {
    onNone: (): Parsed => ({ kind: "wrong-shape" }),
    onSome: (event): Parsed => ({ kind: "event", event: slim(event) })
  })
}
