/** What the model door refuses, and what to do then. The agent's Bash can call the door, so these are read by agents too. */

/** One row of `docs/errors.md`, and how the door answers. */
export interface DoorRefusal {
  readonly code: string
  readonly what: string
  readonly remedy: string
  readonly status: number
  /** The Messages API's own error type, so that the CLI treats the refusal as it would Anthropic's. */
  readonly type: string
}

const table = {
  notTheApi: {
    code: "KM-MDL-001",
    what: "the model door passes on nothing but the model API",
    remedy: "use POST /v1/messages or POST /v1/messages/count_tokens",
    status: 403,
    type: "permission_error"
  },
  wrongKey: {
    code: "KM-MDL-002",
    what: "the key is not that of a run that is going on",
    remedy: "use the key in the environment of the agent; it ends with its run",
    status: 403,
    type: "permission_error"
  },
  tooLarge: {
    code: "KM-MDL-003",
    what: "the request is larger than the model API takes (32 MB)",
    remedy: "send less text and smaller files",
    status: 413,
    type: "request_too_large"
  },
  noKey: {
    code: "KM-MDL-004",
    what: "this install has no API key for the model",
    remedy: "set ANTHROPIC_API_KEY and restart km, or go on with the scripted model",
    status: 403,
    type: "permission_error"
  },
  unreachable: {
    code: "KM-MDL-005",
    what: "the model API could not be reached",
    remedy: "check the network of the machine; the agent tries again by itself",
    status: 502,
    type: "api_error"
  },
  budget: {
    code: "KM-MDL-006",
    what: "the sandbox has spent its budget for the model",
    remedy: "raise spec.agent.budgetUsd in the profile, or create a new sandbox",
    status: 403,
    type: "permission_error"
  },
  notListening: {
    code: "KM-MDL-007",
    what: "the model door could not listen on 127.0.0.1",
    remedy: "check that loopback is up and that ports are free, then start km again",
    status: 500,
    type: "api_error"
  },
  notNoted: {
    code: "KM-MDL-008",
    what: "the runtime could not write down that the model answers, and passes its answer on only then",
    remedy: "free some space on the sandbox's disk; the agent tries again by itself",
    status: 503,
    type: "api_error"
  }
} as const satisfies Readonly<Record<string, DoorRefusal>>

/** By name, for this room. */
export const doorRefusals: Readonly<Record<keyof typeof table, DoorRefusal>> = table

/** All of them, for `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> =
  Object.values(table).map(({ code, remedy, what }) => ({ code, what, remedy }))
