/**
 * Requests that must overtake the queue: a stop while every slot is busy. Embedded: a table and a doorbell; AWS: an
 * attribute that the runtime reads every 2 s while a turn runs. Delivered at least once.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { GroupId, type SandboxId, TurnKey } from "../domain/sandbox/Ids.ts"
import { QuestionId } from "../domain/slack/Question.ts"
import type { StoreError } from "./StoreError.ts"

/** Stops one turn, or whatever runs or waits in a thread, or everything of the sandbox when neither is given. */
export const StopRequest = Schema.Struct({
  /** Absent in what was stored before there were kinds. */
  kind: Schema.Literal("stop").pipe(Schema.withDecodingDefaultKey(Effect.succeed("stop" as const))),
  id: Schema.String,
  turn: Schema.optionalKey(TurnKey),
  group: Schema.optionalKey(GroupId),
  /** Shown in the thread: a person's name or `operator`. */
  by: Schema.String,
  /**
   * Unix milliseconds at which it was asked for: what was put into the queue later goes on, however late the request is
   * served. Absent: when it is served.
   */
  at: Schema.optionalKey(Schema.Int)
})

export type StopRequest = typeof StopRequest.Type

/** What people decided about a question of the sandbox's agent. */
export const AnswerRequest = Schema.Struct({
  kind: Schema.Literal("answer"),
  id: Schema.String,
  question: QuestionId,
  turn: TurnKey,
  /** Which question of the turn. */
  n: Schema.Int,
  verdict: Schema.Literals(["approved", "denied"]),
  /** Which of the question's options, from 0. */
  chosen: Schema.optionalKey(Schema.Int),
  /** Who decided, as shown to people. */
  by: Schema.String
})
export type AnswerRequest = typeof AnswerRequest.Type

/** Whatever may overtake the queue, told apart by `kind`. */
export const ControlRequest = Schema.Union([StopRequest, AnswerRequest])

export type ControlRequest = typeof ControlRequest.Type

export const controlKinds: ReadonlySet<string> = new Set<ControlRequest["kind"]>(["stop", "answer"])

export const isStopRequest = (request: ControlRequest): request is StopRequest => request.kind === "stop"
export const isAnswerRequest = (request: ControlRequest): request is AnswerRequest => request.kind === "answer"

export class Controls extends Context.Service<Controls, {
  /** Idempotent per `request.id`. */
  readonly send: (sandbox: SandboxId, request: ControlRequest) => Effect.Effect<void, StoreError>
  /** Those not yet acknowledged, then new ones as they come. One of a kind that this version does not know is left. */
  readonly watch: (sandbox: SandboxId) => Stream.Stream<ControlRequest, StoreError>
  readonly acknowledge: (sandbox: SandboxId, id: string) => Effect.Effect<void, StoreError>
  /** Forgets what nobody acknowledged: the sandbox is destroyed. */
  readonly clear: (sandbox: SandboxId) => Effect.Effect<void, StoreError>
}>()("km/runtime/ports/Controls") {}
