/**
 * Several actions of one moment in one signed request of bridge protocol v2. Each has its own idempotency key and is judged
 * and answered by itself, as if it had come alone; only its place in the order is the batch's.
 */
import * as Schema from "effect/Schema"
import { RequestId } from "../sandbox/Ids.ts"
import { BridgeAnswer } from "./BridgeProtocol.ts"

/** Actions of one batch: a moment has a few. */
export const maxBatchActions = 16

export const BatchRequest = Schema.Struct({
  action: Schema.Literal("batch"),
  /** Carried out in this order. Where one has to be asked for again, those behind it have to be as well. */
  actions: Schema.Array(Schema.Struct({
    id: RequestId,
    /** What would be the body of a request of its own; decoded one by one, so that a bad one spoils none of the others. */
    action: Schema.Unknown
  })).check(Schema.isMinLength(1), Schema.isMaxLength(maxBatchActions))
})
export type BatchRequest = typeof BatchRequest.Type

/** One for each action, in their order. */
export const BatchAnswer = Schema.Struct({ ok: Schema.Literal(true), answers: Schema.Array(BridgeAnswer) })
export type BatchAnswer = typeof BatchAnswer.Type
