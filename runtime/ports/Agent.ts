/** The coding agent as the turn pipeline sees it: start, watch, interrupt, and make sure that a lost run is gone. */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Socket } from "node:net"
import type { SessionId, TurnKey } from "../domain/sandbox/Ids.ts"
import type { TerminalSize } from "../domain/sandbox/TerminalProtocol.ts"
import type { AgentOutcome, ProcessMark } from "../domain/turn/Turn.ts"

/** What the jail shows in another place than its own, read-only, over what the system has there. */
export interface ShownFile {
  /** Absolute; exists when the run starts. */
  readonly source: string
  /**
   * Absolute, inside the jail: a file that the system has there, or a file or directory below `/run/km`. Without a jail
   * it is shown nowhere but at `source`.
   */
  readonly target: string
}

/** What a program in the jail has opened to a door. */
export type DoorConnection = Socket

/** Of which run, or session that a person began, a door is. */
export interface DoorRun {
  readonly session: SessionId
  /** None where a person began the session. */
  readonly turn: TurnKey | undefined
}

/**
 * A way out of a jail without a network: an address on its loopback, whose listening socket the jail hands over to the
 * runtime. Each run has its own, so who connects is known to be that run; no program inside can reach another run's.
 * Where the agent has the machine's network there are no doors.
 */
export interface AgentDoor {
  /** Lower-case letters, digits and `-`; unique in a sandbox. `model` and `hooks` are the runtime's own. */
  readonly name: string
  /** On the jail's 127.0.0.1, the same in every sandbox, unique there: 4703 to 4799. */
  readonly port: number
  /** Variables for the agent that are true only where the door is open, such as `HTTPS_PROXY`. Never secrets. */
  readonly env: Readonly<Record<string, string>>
  /**
   * Opens the door for one run, before anything of the agent begins. What it returns is given each connection, once, and
   * must not throw; connections are cut when the run is over. At most 128 at a time, further ones are closed unheard.
   */
  readonly open: (run: DoorRun) => Effect.Effect<(connection: DoorConnection) => void, never, Scope.Scope>
}

/** What one plugin adds to the agent's surroundings: for each run anew, and only while the plugin runs. */
export interface AgentContribution {
  /** Variables for every run, such as `KM_MAIL_SOCKET`. Never secrets; what keeps the agent in its place wins over them. */
  readonly env?: Readonly<Record<string, string>>
  /**
   * The same for one run, over `env`: made when the run begins, released when all its processes are gone. May hold what
   * is secret to others, such as an address with the run's own credential; it has a shape that the redactor knows.
   */
  readonly runEnv?: (run: DoorRun) => Effect.Effect<Readonly<Record<string, string>>, never, Scope.Scope>
  /** Absolute directories of programs for the agent, in front of the system's on its PATH; they are shown read-only. */
  readonly path?: ReadonlyArray<string>
  /** Absolute paths of files and directories that the agent may read, at their own place or at another. */
  readonly readOnly?: ReadonlyArray<string | ShownFile>
  readonly doors?: ReadonlyArray<AgentDoor>
}

/** The agent asks its user to choose one of two to four answers. All of it comes from the agent. */
export interface AgentChoice {
  readonly question: string
  readonly options: ReadonlyArray<{ readonly label: string; readonly description: string }>
}

/** A tool call that must not be run without consent. All of it comes from the agent. */
export interface ToolCall {
  readonly id: string
  readonly tool: string
  readonly input: unknown
  /** The call is a question to the user: consent to it is an answer. */
  readonly choice?: AgentChoice
}

/** `chosen`, from 0, where the call was a choice; `reason` is what the agent is told, in words for it. */
export type Consent = { readonly _tag: "Given"; readonly chosen?: number } | {
  readonly _tag: "Denied"
  readonly reason: string
}

export interface AgentRun {
  readonly turn: TurnKey
  readonly attempt: number
  readonly session: SessionId
  /** `resume` continues the session's conversation; `fresh` starts it under this id. */
  readonly mode: "fresh" | "resume"
  /** Exists, 0700, empty; belongs to this attempt alone. */
  readonly runDir: string
  /** Framed and neutralised; sent on stdin as one user message. */
  readonly prompt: string
  /** UUID derived from the turn key and attempt: the CLI's own idempotency key for the message. */
  readonly messageUuid: string
  /** Extra variables of this turn, such as `KM_SLACK_THREAD_TS`; all begin with `KM_`. Never secrets. */
  readonly env: Readonly<Record<string, string>>
  /** What plugins add to this run, in the order in which they were started; a later one's variable wins. */
  readonly contributions: ReadonlyArray<AgentContribution>
  /**
   * Asked before each tool call where the profile wants it; the call waits as long as that takes. Interrupted when the
   * agent no longer waits for it. A call whose question fails or is never answered does not run.
   */
  readonly consent?: (call: ToolCall) => Effect.Effect<Consent>
}

/** What the agent says on its standard output while it runs. */
export type AgentEvent = Data.TaggedEnum<{
  Initialized: { readonly session: SessionId; readonly model: string }
  /** One whole text block of the main agent; `ordinal` counts text blocks of this run from 0. */
  Text: { readonly ordinal: number; readonly text: string }
  ToolUsed: { readonly id: string; readonly name: string; readonly input: unknown }
  ToolFinished: { readonly id: string; readonly isError: boolean }
  /** A tool call of a subagent, which was itself started by the call `parent`. */
  SubagentToolUsed: {
    readonly id: string
    readonly parent: string
    readonly agent: string
    readonly type: string
  }
  ApiRetry: {
    readonly attempt: number
    readonly maxRetries: number
    readonly status: number | null
    readonly error: string
  }
}>
export const AgentEvent = Data.taggedEnum<AgentEvent>()

/** The run could not be started at all; nothing of it is left. `reason` and `remedy` are for the person who waits. */
export class AgentNotStarted extends Schema.TaggedError<AgentNotStarted>()("AgentNotStarted", {
  code: Schema.String,
  reason: Schema.String,
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.reason}; ${this.remedy}`
  }
}

export interface AgentProcess {
  readonly mark: ProcessMark
  /** Ends when the process has exited. One consumer. */
  readonly events: Stream.Stream<AgentEvent>
  /** Completes when every process of the run is gone; decided from the `result` lines. */
  readonly outcome: Effect.Effect<AgentOutcome>
  /** US dollars that this run alone has cost, as the agent reports it; known once `outcome` is, if at all. */
  readonly costUsd?: Effect.Effect<number | undefined>
  /** Asks politely, ends the jail after 3 s; the outcome is then `Cancelled`. */
  readonly interrupt: (by: string) => Effect.Effect<void>
  /** The wall clock ran out: as `interrupt`, and the outcome is `TimedOut`. */
  readonly timeOut: (afterMillis: number) => Effect.Effect<void>
}

/** A session that a person works in by a terminal. */
export interface TerminalRun {
  readonly session: SessionId
  readonly mode: "fresh" | "resume"
  /** Exists, 0700, empty; belongs to this session's process alone. */
  readonly runDir: string
  /** In place of the agent; empty starts the agent. */
  readonly command: ReadonlyArray<string>
  /** What the agent is told of the sandbox: lines of ours, each harmless. */
  readonly told: ReadonlyArray<string>
  /** As `TERM` has it. */
  readonly terminal: string
  readonly size: TerminalSize
  readonly contributions: ReadonlyArray<AgentContribution>
}

export interface TerminalProcess {
  /** What is typed. */
  readonly input: NodeJS.WritableStream
  /** What is shown. */
  readonly output: NodeJS.ReadableStream
  readonly resize: (size: TerminalSize) => Effect.Effect<void>
  /** The exit code, once every process of the session is gone. */
  readonly ended: Effect.Effect<number>
  /** As a terminal that is closed: the agent is told, and everything ends after 3 s. Complete when it has. */
  readonly hangUp: Effect.Effect<void>
}

export class Agent extends Context.Service<Agent, {
  /** Holds the session's lock until the process is gone. Closing the scope kills whatever still runs. */
  readonly start: (run: AgentRun) => Effect.Effect<AgentProcess, AgentNotStarted, Scope.Scope>
  /**
   * Starts an interactive session on a terminal of its own, confined and connected as a turn is. Holds the session's lock;
   * a turn of the same session waits for it. Absent where the agent has no such face. Closing the scope kills it.
   */
  readonly interact?: (run: TerminalRun) => Effect.Effect<TerminalProcess, AgentNotStarted, Scope.Scope>
  /**
   * After a crash of the runtime: first makes sure that the run's processes are gone, then reads the run directory.
   * None: no `result` line was written.
   */
  readonly recover: (run: {
    readonly runDir: string
    readonly session: SessionId
    readonly process: Option.Option<ProcessMark>
  }) => Effect.Effect<Option.Option<AgentOutcome>>
  /** True when the session's conversation is on disk, so that `resume` can find it. */
  readonly sessionExists: (session: SessionId) => Effect.Effect<boolean>
  /**
   * After `recover`: whether the run's message reached the session's conversation, so that the agent may have acted on
   * it. False only when that is certain; then, and only then, the message may be sent again. Without this method, or
   * with `true`, an interrupted run is continued and its message is never repeated.
   */
  readonly messageReceived?: (run: {
    readonly session: SessionId
    readonly runDir: string
    readonly messageUuid: string
  }) => Effect.Effect<boolean>
  /** US dollars that all runs have spent on the model in the sandbox's life; absent where nobody counts. */
  readonly spentUsd?: Effect.Effect<number>
  /** Whether runs are jailed, and how; `detail` is what status shows. */
  readonly confinement: Effect.Effect<{ readonly confined: boolean; readonly detail: string }>
}>()("km/runtime/ports/Agent") {}
