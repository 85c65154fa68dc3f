/** What can be told of a turn, in the live model's terms, and how hooks and the agent's output tell it. Pure. */
import type { HookEvent } from "../../runtime/domain/turn/HookEvent.ts"
import type { AgentEvent } from "../../runtime/ports/Agent.ts"
import type { Said } from "../../runtime/ports/Sessions.ts"

/** Who tells: hooks, the agent's standard output, the transcript file. */
export type Witness = "hook" | "stdout" | "file"

export type LiveInput =
  /** A whole text block; `ordinal` counts the blocks of a run on standard output. */
  | { readonly _tag: "Text"; readonly by: "stdout" | "file"; readonly text: string; readonly ordinal?: number }
  /** A piece of a text as a hook tells it. */
  | {
    readonly _tag: "Piece"
    readonly message: string | undefined
    readonly index: number
    readonly final: boolean
    readonly delta: string
  }
  | { readonly _tag: "Tool"; readonly by: Witness; readonly id: string; readonly name: string; readonly input: unknown }
  | { readonly _tag: "ToolEnd"; readonly id: string; readonly failed: boolean }
  | { readonly _tag: "SubagentStart"; readonly agent: string; readonly type: string }
  | { readonly _tag: "SubagentEnd"; readonly agent: string }
  | { readonly _tag: "SubagentTool"; readonly agent: string; readonly type: string; readonly id: string }
  /** A failure that the CLI put in the model's mouth; the outcome tells it. Goes when hooks alone have told of it. */
  | { readonly _tag: "Retract"; readonly text: string }
  | { readonly _tag: "Note"; readonly id: string; readonly text: string }
  | { readonly _tag: "Status"; readonly text: string | undefined }

/** What a hook says, in the model's terms; nothing for events that show nothing. */
export const fromHook = (event: HookEvent): ReadonlyArray<LiveInput> => {
  const agent = event.agent_id
  switch (event.hook_event_name) {
    case "MessageDisplay":
      return agent !== undefined ? [] : [{
        _tag: "Piece",
        message: event.message_id,
        index: event.index ?? 0,
        final: event.final ?? true,
        delta: event.delta
      }]
    case "PostToolUse":
    case "PostToolUseFailure": {
      const id = event.tool_use_id
      if (agent !== undefined) return [{ _tag: "SubagentTool", agent, type: event.agent_type ?? "", id }]
      return [
        { _tag: "Tool", by: "hook", id, name: event.tool_name, input: event.tool_input },
        { _tag: "ToolEnd", id, failed: event.hook_event_name === "PostToolUseFailure" }
      ]
    }
    case "SubagentStart":
      return agent === undefined ? [] : [{ _tag: "SubagentStart", agent, type: event.agent_type ?? "" }]
    case "SubagentStop":
      return agent === undefined ? [] : [{ _tag: "SubagentEnd", agent }]
    case "PermissionDenied": {
      const text = `🚫 not permitted: ${event.tool_name ?? "a tool"}`
      return [{ _tag: "Note", id: `denied:${event.prompt_id ?? ""}:${text}`, text }]
    }
    default:
      return []
  }
}

/** What a line of the session's file says, in the model's terms. */
export const fromFile = (said: Said): LiveInput => {
  switch (said._tag) {
    case "Text":
      return { _tag: "Text", by: "file", text: said.text }
    case "ToolUsed":
      return { _tag: "Tool", by: "file", id: said.id, name: said.name, input: said.input }
    case "ToolFinished":
      return { _tag: "ToolEnd", id: said.id, failed: said.isError }
  }
}

/** What the agent says on its standard output, in the model's terms. */
export const fromAgent = (event: AgentEvent): ReadonlyArray<LiveInput> => {
  switch (event._tag) {
    case "Text":
      return [{ _tag: "Text", by: "stdout", text: event.text, ordinal: event.ordinal }]
    case "ToolUsed":
      return [{ _tag: "Tool", by: "stdout", id: event.id, name: event.name, input: event.input }]
    case "ToolFinished":
      return [{ _tag: "ToolEnd", id: event.id, failed: event.isError }]
    case "ApiRetry": {
      const why = event.status === null
        ? `cannot be reached (${event.error})`
        : `answered ${event.status} (${event.error})`
      return [{
        _tag: "Status",
        text: `the model's API ${why}, retry ${event.attempt} of ${event.maxRetries}`
      }]
    }
    case "Initialized":
      return []
  }
}
