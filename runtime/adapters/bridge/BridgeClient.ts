/**
 * Port `Bridge` over HTTP: what a plugin asks for arrives exactly once, in order within a thread, however long the
 * bridge is away and however often this process dies meanwhile.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { SigningKey } from "../../domain/identity/Ed25519.ts"
import { signingKeyFromSeed } from "../../domain/identity/Ed25519.ts"
import type { InstallName, RequestId, SenderId } from "../../domain/sandbox/Ids.ts"
import { requestIdOf } from "../../domain/sandbox/Ids.ts"
import { actionTraits } from "../../domain/slack/ActionTraits.ts"
import type { ActionName, BridgeErrorCode, BridgeResult } from "../../domain/slack/BridgeProtocol.ts"
import { BridgeAction } from "../../domain/slack/BridgeProtocol.ts"
import { type Backoff, pauseAfter } from "../../ports/Backoff.ts"
import type { BridgeCall } from "../../ports/Bridge.ts"
import { Bridge, BridgeRefused } from "../../ports/Bridge.ts"
import { Outbox } from "../../ports/Outbox.ts"
import { Secrets } from "../../ports/Secrets.ts"
import type { Attempt } from "./BridgeWire.ts"
import { makeAttempt } from "./BridgeWire.ts"

/** The sender has no usable signing key: it was never created here, or teardown has removed it. */
export class SigningKeyMissing extends Schema.TaggedError<SigningKeyMissing>()("SigningKeyMissing", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `KM-SLK-201: there is no usable signing key at ${this.path} (${this.detail}); create the sandbox again`
  }
}

/** What the client is told by its composition root. */
export interface BridgeClientOptions {
  /** Base URL of the bridge, such as `http://127.0.0.1:7001`. */
  readonly url: string
  /** The host that signatures name, where it differs from the URL's. */
  readonly host?: string
  readonly install: InstallName
  readonly sender: SenderId
  /** The epoch of the lease held now; read for each attempt. Operators have none and send 0. */
  readonly epoch: Effect.Effect<number>
  /** The bridge has seen a newer runtime of this sandbox: look at the lease. */
  readonly onStaleEpoch?: Effect.Effect<void>
  /** After a failed attempt. Default 250 ms up to 15 s. */
  readonly backoff?: Backoff
  /** For one attempt, in milliseconds. Default 30,000; one that moves a file gets four times as much. */
  readonly attemptTimeoutMillis?: number
}

/** Codes after which the key on disk is read again: it may have been rotated while we ran. */
const keyCodes: ReadonlySet<BridgeErrorCode> = new Set(["unauthenticated", "revoked_key"])

/** Milliseconds before attempt `failures + 1`: exponential with half of it jittered, never before the bridge's wish. */
export const waitMillis = (
  failures: number,
  random: number,
  afterMillis: number | undefined,
  backoff: Backoff
): number => {
  const full = pauseAfter(backoff, failures)
  const jittered = full / 2 + random * full / 2
  // A wish is spread by up to a tenth, so that fifty sandboxes do not come back in the same instant.
  return Math.ceil(afterMillis === undefined ? jittered : Math.max(jittered, afterMillis * (1 + random / 10)))
}

/** Requests of one lane are sent one after the other in the order of their calls; others do not wait for them. */
export const laneOf = (action: BridgeAction): string | undefined => {
  switch (action.action) {
    case "post":
    case "live.set":
      return `thread ${action.channel} ${action.threadTs ?? ""}`
    // Its caller asks when the answer is there; what is said next in the thread does not wait for Slack to take a file.
    case "upload":
      return `upload ${action.channel} ${action.threadTs ?? ""}`
    case "thread.put":
      return `row ${action.channel} ${action.threadTs}`
    case "react":
    case "unreact":
    case "update":
      return `message ${action.channel} ${action.ts}`
    // Taken back after it was asked, never before.
    case "ask":
      return `question ${action.question.turn} ${action.question.n}`
    case "ask.close":
      return `question ${action.turn} ${action.n}`
    default:
      return undefined
  }
}

const BodyJson = Schema.fromJsonString(BridgeAction)
const encodeBody = Schema.encodeEffect(BodyJson)
const decodeBody = Schema.decodeUnknownOption(BodyJson)

const refused = (name: ActionName, answer: Extract<Attempt, { readonly code: BridgeErrorCode }>) =>
  new BridgeRefused({ action: name, code: answer.code, detail: answer.detail })

const readKey = Effect.fnUntraced(function*(secrets: Secrets["Service"], path: string) {
  const found = yield* secrets.get(path)
  if (Option.isNone(found)) return yield* new SigningKeyMissing({ path, detail: "absent" })
  const seed = Buffer.from(Redacted.value(found.value).trim(), "base64")
  if (seed.length !== 32) return yield* new SigningKeyMissing({ path, detail: `${seed.length} bytes instead of 32` })
  return signingKeyFromSeed(seed)
})

/**
 * Reads the sender's key, takes up what an earlier process left in the outbox (in its order), and serves calls until
 * the scope closes; requests then stay in the outbox for the next process.
 */
export const make = Effect.fnUntraced(function*(options: BridgeClientOptions) {
  const http = yield* HttpClient.HttpClient
  const outbox = yield* Outbox
  const secrets = yield* Secrets
  const scope = yield* Effect.scope
  const backoff = options.backoff ?? { firstMillis: 250, longestMillis: 15_000 }
  const timeoutMillis = options.attemptTimeoutMillis ?? 30_000
  const address = {
    url: options.url,
    host: options.host ?? new URL(options.url).host,
    install: options.install,
    sender: options.sender
  }
  const attemptOnce = makeAttempt(http, address, timeoutMillis)
  const attemptUpload = makeAttempt(http, address, timeoutMillis * 4)
  const keyPath = `sandbox/${options.sender}/signing-key`
  let key: SigningKey = yield* readKey(secrets, keyPath)

  const lanes = new Map<string, Deferred.Deferred<void>>()
  const inFlight = new Map<RequestId, Deferred.Deferred<BridgeResult, BridgeRefused>>()

  /** Takes a place in the lane at once; `turn` completes when everything before it has left. */
  const enterLane = (lane: string | undefined) => {
    if (lane === undefined) return { turn: Effect.void, leave: Effect.void }
    const before = lanes.get(lane)
    const mine = Deferred.makeUnsafe<void>()
    lanes.set(lane, mine)
    return {
      turn: before === undefined ? Effect.void : Deferred.await(before),
      leave: Effect.suspend(() => {
        if (lanes.get(lane) === mine) lanes.delete(lane)
        return before === undefined || Deferred.isDoneUnsafe(before)
          ? Effect.asVoid(Deferred.succeed(mine, undefined))
          // Given up while waiting: those behind still wait for those before.
          : Deferred.await(before).pipe(
            Effect.andThen(Deferred.succeed(mine, undefined)),
            Effect.forkIn(scope),
            Effect.asVoid
          )
      })
    }
  }

  const attempt = Effect.fnUntraced(function*(name: ActionName, id: RequestId, body: string) {
    const send = actionTraits[name].movesFile ? attemptUpload : attemptOnce
    const once = Effect.flatMap(options.epoch, (epoch) => send({ id, body, key, epoch }))
    const first = yield* once
    if (first._tag === "Again" && first.code === "stale_epoch") yield* options.onStaleEpoch ?? Effect.void
    if (first._tag !== "Refused" || !keyCodes.has(first.code)) return first
    const again = yield* readKey(secrets, keyPath).pipe(
      Effect.catch((error) => Effect.as(Effect.logWarning("signing key cannot be read again", error.message), key))
    )
    if (again.keyId === key.keyId) return first
    key = again
    return yield* once
  })

  const untilAcknowledged = Effect.fnUntraced(
    function*(name: ActionName, id: RequestId, body: string, stored: boolean) {
      let failures = 0
      while (true) {
        const answer = yield* attempt(name, id, body)
        if (answer._tag === "Done") return answer.result
        if (answer._tag === "Refused") return yield* refused(name, answer)
        failures += 1
        yield* Effect.logDebug("bridge request is tried again").pipe(
          Effect.annotateLogs({ failures, code: answer.code, detail: answer.detail })
        )
        if (failures === 8) yield* Effect.logWarning("the bridge has not taken a request for a while", answer.detail)
        if (stored) yield* Effect.ignore(outbox.tried(id))
        yield* Effect.sleep(waitMillis(failures, yield* Random.next, answer.afterMillis, backoff))
      }
    },
    (effect, name, id) => Effect.annotateLogs(effect, { action: name, request: id })
  )

  /**
   * A request that cannot be written down is still sent: its caller repeats it with the same key after a crash, and a
   * full disk must not keep the notice about the full disk from the thread.
   */
  const writeDown = Effect.fnUntraced(function*(id: RequestId, body: string) {
    const createdAt = yield* Clock.currentTimeMillis
    yield* outbox.put({ id, body, createdAt, attempts: 0 }).pipe(
      Effect.catch((error) => Effect.logError("bridge request is sent without its outbox entry", error.message))
    )
  })

  const forget = (id: RequestId) =>
    outbox.remove(id).pipe(
      Effect.catch((error) => Effect.logWarning("acknowledged bridge request stays in the outbox", error.message))
    )

  /** Runs in the client's own scope: who waits may go away, the request does not. */
  const deliver = (action: BridgeAction, id: RequestId, body: string, written: boolean) => {
    const done = Deferred.makeUnsafe<BridgeResult, BridgeRefused>()
    inFlight.set(id, done)
    const lane = enterLane(laneOf(action))
    const stored = !actionTraits[action.action].isLookup
    const work = Effect.gen(function*() {
      if (stored && !written) yield* writeDown(id, body)
      yield* lane.turn
      const outcome = yield* Effect.result(untilAcknowledged(action.action, id, body, stored))
      if (stored) yield* forget(id)
      yield* Deferred.complete(done, Effect.fromResult(outcome))
    }).pipe(
      Effect.onError((cause) => Deferred.failCause(done, cause)),
      Effect.ensuring(Effect.andThen(lane.leave, Effect.sync(() => void inFlight.delete(id))))
    )
    return Effect.as(Effect.forkIn(work, scope, { startImmediately: true }), done)
  }

  const tryOnce = Effect.fnUntraced(function*(action: BridgeAction, id: RequestId, body: string) {
    const lane = enterLane(laneOf(action))
    return yield* Effect.andThen(lane.turn, attempt(action.action, id, body)).pipe(
      Effect.timeoutOrElse({
        duration: timeoutMillis,
        orElse: () =>
          new BridgeRefused({
            action: action.action,
            code: "unavailable",
            detail: "earlier requests of the same thread still wait for the bridge"
          })
      }),
      Effect.ensuring(lane.leave),
      Effect.flatMap((answer) =>
        answer._tag === "Done" ? Effect.succeed(answer.result) : Effect.fail(refused(action.action, answer))
      )
    )
  })

  const takeUp = Effect.gen(function*() {
    const pending = yield* outbox.pending
    if (pending.length > 0) {
      yield* Effect.logInfo("takes up bridge requests of an earlier process").pipe(
        Effect.annotateLogs({ pending: pending.length })
      )
    }
    for (const entry of pending) {
      const action = decodeBody(entry.body)
      if (Option.isNone(action)) {
        yield* Effect.logError("outbox entry does not decode and is left where it is").pipe(
          Effect.annotateLogs({ request: entry.id, code: "KM-SLK-202" })
        )
        continue
      }
      const done = yield* deliver(action.value, entry.id, entry.body, true)
      yield* Deferred.await(done).pipe(
        Effect.catch((error) => Effect.logWarning("request of an earlier process was refused", error.message)),
        Effect.forkIn(scope)
      )
    }
  })
  yield* takeUp

  return Bridge.of({
    call: Effect.fn("BridgeClient.call")(function*(call: BridgeCall) {
      const { action, patience = "durable" } = call
      const id = requestIdOf(call.key)
      yield* Effect.annotateCurrentSpan({ "km.action": action.action, "km.request": id })
      const waiting = inFlight.get(id)
      if (waiting !== undefined) return yield* Deferred.await(waiting)
      const body = yield* encodeBody(action).pipe(
        Effect.mapError((error) =>
          new BridgeRefused({ action: action.action, code: "bad_request", detail: error.message })
        )
      )
      if (patience === "besteffort") return yield* tryOnce(action, id, body)
      return yield* Effect.flatMap(deliver(action, id, body, false), Deferred.await)
    })
  })
})

/** See `make`. Keep the layer in a constant: two clients over one outbox would send everything twice. */
export const layer = (options: BridgeClientOptions) => Layer.effect(Bridge, make(options))
