/**
 * What Claude Code's hooks send, as schemas over untrusted JSON: the agent can forge any of it. Unknown events and keys
 * are dropped. Source: the hook table measured on Claude Code 2.1.330.
 */
import * as Schema from "effect/Schema"
import { SessionId } from "../sandbox/Ids.ts"

/** Path of the listener's one endpoint. */
export const hookPath = "/hooks"

/** Bytes; a larger hook body is refused before it is parsed. */
export const maxHookBodyBytes = 1024 * 1024

const optional = Schema.optionalKey
const common = {
  session_id: SessionId,
  transcript_path: optional(Schema.String),
  cwd: optional(Schema.String),
  prompt_id: optional(Schema.String),
  agent_id: optional(Schema.String),
  agent_type: optional(Schema.String)
}
const event = <const Name extends string, Fields extends Schema.Struct.Fields>(name: Name, fields: Fields) =>
  Schema.Struct({ ...common, hook_event_name: Schema.Literal(name), ...fields })

export const HookEvent = Schema.Union([
  event("SessionStart", { source: optional(Schema.String) }),
  event("UserPromptSubmit", { prompt: optional(Schema.String) }),
  event("MessageDisplay", {
    turn_id: optional(Schema.String),
    message_id: optional(Schema.String),
    index: optional(Schema.Int),
    final: optional(Schema.Boolean),
    delta: Schema.String
  }),
  event("PostToolUse", {
    tool_name: Schema.String,
    tool_input: optional(Schema.Unknown),
    tool_use_id: Schema.String,
    duration_ms: optional(Schema.Finite)
  }),
  event("PostToolUseFailure", {
    tool_name: Schema.String,
    tool_input: optional(Schema.Unknown),
    tool_use_id: Schema.String,
    error: optional(Schema.String),
    is_interrupt: optional(Schema.Boolean),
    duration_ms: optional(Schema.Finite)
  }),
  event("SubagentStart", {}),
  event("SubagentStop", { last_assistant_message: optional(Schema.String) }),
  event("Notification", { message: optional(Schema.String), notification_type: optional(Schema.String) }),
  event("PermissionDenied", { tool_name: optional(Schema.String), reason: optional(Schema.String) }),
  event("Stop", { last_assistant_message: optional(Schema.String), stop_hook_active: optional(Schema.Boolean) }),
  event("StopFailure", {
    error: optional(Schema.String),
    error_details: optional(Schema.String),
    last_assistant_message: optional(Schema.String)
  }),
  event("SessionEnd", { reason: optional(Schema.String) })
])
export type HookEvent = typeof HookEvent.Type
export type HookEventName = HookEvent["hook_event_name"]
