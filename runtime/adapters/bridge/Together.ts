/**
 * Calls of one moment in one signed request. The batch is a way of travelling and nothing else: each call has its own key,
 * its own entry in the outbox and its own answer, so that after a crash, or where an answer is to be asked for again, it goes
 * on as if it had come alone.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { type RequestId, requestIdOf } from "../../domain/sandbox/Ids.ts"
import { type BatchRequest, maxBatchActions } from "../../domain/slack/BridgeBatch.ts"
import {
  type ActionName,
  type BridgeAction,
  type BridgeResult,
  maxBridgeBodyBytes
} from "../../domain/slack/BridgeProtocol.ts"
import { type BridgeCall, BridgeRefused, type BridgeWait } from "../../ports/Bridge.ts"
import { Attempt, meaningOf } from "./BridgeWire.ts"

/** A place in a lane. */
export interface Place {
  /** Completes when everything before it has left. */
  readonly turn: Effect.Effect<void>
  readonly leave: Effect.Effect<void>
}

/** What the client has for calls of either kind. */
export interface TogetherParts {
  readonly inFlight: Map<RequestId, Deferred.Deferred<BridgeResult, BridgeRefused>>
  /** The client's own: who waits may go away, the request does not. */
  readonly scope: Scope.Scope
  readonly attempt: (name: ActionName | "batch", id: RequestId, body: string) => Effect.Effect<Attempt>
  readonly laneOf: (action: BridgeAction) => string | undefined
  readonly enterLane: (lane: string | undefined) => Place
  readonly encode: (action: BridgeAction) => Effect.Effect<string, Schema.SchemaError>
  /** Written to the outbox before it is sent. */
  readonly isStored: (action: BridgeAction) => boolean
  readonly writeDown: (id: RequestId, body: string) => Effect.Effect<void>
  readonly tried: (id: RequestId) => Effect.Effect<void>
  readonly forget: (id: RequestId) => Effect.Effect<void>
  readonly waitMillis: (failures: number, afterMillis: number | undefined) => Effect.Effect<number>
}

interface Part {
  readonly action: BridgeAction
  readonly id: RequestId
  readonly body: string
  readonly durable: boolean
  readonly stored: boolean
  readonly place: Place
  readonly done: Deferred.Deferred<BridgeResult, BridgeRefused>
}

const nowhere: Place = { turn: Effect.void, leave: Effect.void }

/** One place in each lane for all parts of a batch that belong there; the last of them leaves it. */
const sharedPlaces = (enter: (lane: string) => Place) => {
  const places = new Map<string, { readonly place: Place; parts: number }>()
  return (lane: string | undefined): Place => {
    if (lane === undefined) return nowhere
    const shared = places.get(lane) ?? { place: enter(lane), parts: 0 }
    places.set(lane, shared)
    shared.parts++
    return {
      turn: shared.place.turn,
      leave: Effect.suspend(() => --shared.parts === 0 ? shared.place.leave : Effect.void)
    }
  }
}

const refused = ({ action }: Part, { code, detail }: Exclude<Attempt, { readonly _tag: "Done" }>): BridgeRefused =>
  new BridgeRefused({ action: action.action, code, detail })

/** The bodies as they would travel alone; the bridge hashes each by itself. */
const batchOf = (parts: ReadonlyArray<Part>): string =>
  JSON.stringify(
    {
      action: "batch",
      actions: parts.map(({ body, id }) => ({ id, action: JSON.parse(body) }))
    } satisfies BatchRequest
  )

export const makeTogether = (client: TogetherParts) => {
  const { attempt, forget, inFlight, scope, tried, waitMillis } = client

  const finish = (part: Part, outcome: Effect.Effect<BridgeResult, BridgeRefused>) =>
    Deferred.complete(part.done, outcome).pipe(
      Effect.andThen(part.stored ? forget(part.id) : Effect.void),
      Effect.uninterruptible,
      Effect.ensuring(Effect.andThen(part.place.leave, Effect.sync(() => void inFlight.delete(part.id))))
    )

  /** As a batch would be: what is behind one that is to be asked for again is not sent. */
  const oneByOne = Effect.fnUntraced(function*(parts: ReadonlyArray<Part>) {
    const answers: Array<Attempt> = []
    for (const { action, body, id } of parts) {
      const last = answers.at(-1)
      answers.push(last?._tag === "Again" ? last : yield* attempt(action.action, id, body))
    }
    return answers
  })

  /** What each part came to at this attempt. */
  const sent = Effect.fnUntraced(function*(parts: ReadonlyArray<Part>) {
    const [first] = parts
    if (first !== undefined && parts.length === 1) return [yield* attempt(first.action.action, first.id, first.body)]
    const batch = batchOf(parts)
    if (parts.length > maxBatchActions || Buffer.byteLength(batch) > maxBridgeBodyBytes) return yield* oneByOne(parts)
    const whole = yield* attempt("batch", requestIdOf(`batch/${parts.map(({ id }) => id).join("/")}`), batch)
    // A bridge that is older than its sandboxes knows no batches.
    if (whole._tag === "Refused" && whole.code === "unknown_action") return yield* oneByOne(parts)
    if (whole._tag !== "Done") return parts.map(() => whole)
    return parts.map((_, index): Attempt => {
      const answer = whole.answers?.[index]
      return answer === undefined
        ? Attempt.Again({ code: "unavailable", detail: "the batch has no answer for it", afterMillis: undefined })
        : meaningOf(answer, undefined)
    })
  })

  const untilAnswered = Effect.fnUntraced(function*(all: ReadonlyArray<Part>) {
    let left = all
    for (let failures = 1; left.length > 0; failures++) {
      const answers = yield* sent(left)
      const again: Array<Part> = []
      let afterMillis: number | undefined
      yield* Effect.forEach(left, (part, index) => {
        const answer = answers[index]
        if (answer === undefined) return Effect.void
        if (answer._tag === "Done") return finish(part, Effect.succeed(answer.result))
        if (answer._tag === "Refused" || !part.durable) return finish(part, Effect.fail(refused(part, answer)))
        again.push(part)
        if (answer.afterMillis !== undefined) afterMillis = Math.max(afterMillis ?? 0, answer.afterMillis)
        return part.stored ? tried(part.id) : Effect.void
      }, { concurrency: "unbounded", discard: true })
      left = again
      if (left.length === 0) return
      if (failures === 8) yield* Effect.logWarning("the bridge has not taken some requests for a while")
      yield* Effect.sleep(yield* waitMillis(failures, afterMillis))
    }
  })

  const work = (parts: ReadonlyArray<Part>) =>
    Effect.forEach(
      parts.filter(({ stored }) => stored),
      // All at once, and so in one commit.
      ({ body, id }) => client.writeDown(id, body),
      { concurrency: "unbounded", discard: true }
    ).pipe(
      Effect.andThen(Effect.forEach(parts, ({ place }) => place.turn, { discard: true })),
      Effect.andThen(untilAnswered(parts)),
      Effect.onError((cause) =>
        Effect.forEach(parts, (part) => finish({ ...part, stored: false }, Effect.failCause(cause)), { discard: true })
      )
    )

  return Effect.fn("BridgeClient.callTogether")(
    function*(calls: ReadonlyArray<BridgeCall>): Effect.fn.Return<ReadonlyArray<BridgeWait>> {
      const encoded = yield* Effect.forEach(calls, (call) => Effect.option(client.encode(call.action)))
      const parts: Array<Part> = []
      const placeIn = sharedPlaces(client.enterLane)
      const waits = calls.map(({ action, key, patience = "durable" }, index): BridgeWait => {
        const id = requestIdOf(key)
        const known = inFlight.get(id)
        if (known !== undefined) return Deferred.await(known)
        const body = encoded[index]
        if (body === undefined || Option.isNone(body)) {
          return Effect.fail(
            new BridgeRefused({ action: action.action, code: "bad_request", detail: "it does not fit the protocol" })
          )
        }
        const done = Deferred.makeUnsafe<BridgeResult, BridgeRefused>()
        inFlight.set(id, done)
        const durable = patience === "durable"
        parts.push({
          action,
          id,
          body: body.value,
          durable,
          stored: durable && client.isStored(action),
          // What is tried once waits for nobody, and nobody for it: the others must not be held up by a slow Slack.
          place: durable ? placeIn(client.laneOf(action)) : nowhere,
          done
        })
        return Deferred.await(done)
      })
      if (parts.length > 0) yield* Effect.forkIn(work(parts), scope, { startImmediately: true })
      return waits
    }
  )
}
