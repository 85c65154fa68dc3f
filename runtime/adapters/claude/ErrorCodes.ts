/** Every failure of the agent that a person can see: a stable code, what it means, and what to do about it. */

export interface ErrorCode {
  readonly code: string
  readonly what: string
  readonly remedy: string
}

const table = {
  notInstalled: {
    code: "KM-AGT-001",
    what: "the Claude Code CLI is missing or cannot be executed",
    remedy: "npm install --global @anthropic-ai/claude-code, or set KM_CLAUDE to where it is; then km doctor"
  },
  unconfinedRefused: {
    code: "KM-AGT-002",
    what: "bubblewrap is not usable here, and a real model with permissions: bypass does not run unconfined",
    remedy: "install bubblewrap, or accept the risk with --unconfined"
  },
  sessionBusy: {
    code: "KM-AGT-003",
    what: "another run still works in this session",
    remedy: "wait until it has ended, or stop it with km stop"
  },
  notStarted: {
    code: "KM-AGT-004",
    what: "the agent process could not be started",
    remedy: "read the reason, run km doctor, then send the message again"
  },
  runDirectory: {
    code: "KM-AGT-005",
    what: "the directory of the run cannot be written",
    remedy: "free some space and check that the state directory belongs to this user"
  },
  homeNotWritable: {
    code: "KM-AGT-006",
    what: "the agent's home or workspace is missing or cannot be written",
    remedy: "check that both directories exist and belong to the user who runs km"
  },
  networkStays: {
    code: "KM-AGT-007",
    what: "the profile keeps the agent from the machine's network, and a jail without one cannot be made here",
    remedy:
      "read the reason, run km doctor; or set spec.network: shared in the profile, or accept the risk with --unconfined"
  },
  doorsNotOpened: {
    code: "KM-AGT-008",
    what: "the jail did not hand over its doors, so the agent was not started",
    remedy: "run km doctor, then send the message again"
  },
  noTerminal: {
    code: "KM-AGT-009",
    what: "there is no `script` of util-linux, which gives an interactive session its terminal",
    remedy: "install util-linux's script (Debian: bsdutils), then run km shell again"
  },
  noConversation: {
    code: "KM-AGT-050",
    what: "the sandbox has no conversation of this session",
    remedy: "give the id of one that is in `km status` with the sandbox, or leave --resume out"
  },
  authentication: {
    code: "KM-AGT-010",
    what: "the model refused the API key",
    remedy: "put a working key in place with ANTHROPIC_API_KEY and restart km, then send the message again"
  },
  billing: {
    code: "KM-AGT-011",
    what: "the model's account has no credit",
    remedy: "add credit to the account of the API key, then send the message again"
  },
  modelNotFound: {
    code: "KM-AGT-012",
    what: "the model does not exist or this key may not use it",
    remedy: "set spec.agent.model in the profile to a model that the key can use, or to default"
  },
  rateLimited: {
    code: "KM-AGT-013",
    what: "the model's rate limit is used up and waiting did not help",
    remedy: "send the message again later, or raise the limit of the API key"
  },
  modelUnavailable: {
    code: "KM-AGT-014",
    what: "the model was overloaded or failed, also after retries",
    remedy: "send the message again later"
  },
  modelUnreachable: {
    code: "KM-AGT-015",
    what: "the model could not be reached, or the connection broke, also after retries",
    remedy: "check the network of the machine, then send the message again"
  },
  tooLarge: {
    code: "KM-AGT-016",
    what: "the conversation is too long for the model",
    remedy: "start a new thread, or send less text and smaller files"
  },
  refused: {
    code: "KM-AGT-017",
    what: "the model refused the request",
    remedy: "read the reason and put the message differently"
  },
  outputLimit: {
    code: "KM-AGT-018",
    what: "the answer grew longer than the model may write",
    remedy: "ask for the work in smaller parts"
  },
  budget: {
    code: "KM-AGT-019",
    what: "the sandbox has spent its budget",
    remedy: "raise spec.agent.budgetUsd in the profile, or create a new sandbox"
  },
  turnLimit: {
    code: "KM-AGT-020",
    what: "the agent used up the steps it may take in one turn",
    remedy: "send a message that tells it to go on"
  },
  blocked: {
    code: "KM-AGT-021",
    what: "a hook blocked the message",
    remedy: "look at the hooks of the repository and of the managed settings"
  },
  outputTooLarge: {
    code: "KM-AGT-022",
    what: "the agent wrote more output than a run may keep",
    remedy: "ask for less output at once; the run was ended"
  },
  other: {
    code: "KM-AGT-029",
    what: "the agent ended with an error",
    remedy: "read the reason; km logs shows the run"
  }
} as const satisfies Readonly<Record<string, ErrorCode>>

/** By name, for this room. */
export const agentErrors: Readonly<Record<keyof typeof table, ErrorCode>> = table

/** All of them, for `docs/errors.md`. */
export const errorCodes: ReadonlyArray<ErrorCode> = Object.values(table)
