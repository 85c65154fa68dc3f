/**
 * Slack's Events API towards one app: signed deliveries (or envelopes over sockets, where Socket Mode is on) from a
 * queue, after the API answer, with Slack's retries.
 * The emulator's own sender is never used: it blocks the call on the receiver, sends once and lacks most fields.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as crypto from "node:crypto"
import * as http from "node:http"
import { unending } from "../../../runtime/ports/Unending.ts"
import type { EventFault, Faults } from "./Faults.ts"
import { slackId } from "./Identifiers.ts"
import { send } from "./InnerHttp.ts"
import { isJson, type Json, parseJson, textOf } from "./Json.ts"
import type { SocketServer } from "./sockets/SocketServer.ts"
import type { Watch } from "./Watch.ts"
import { WorkspaceError } from "./WorkspaceError.ts"

/** Which installation the events are for; goes into every envelope. */
export interface Installation {
  readonly appId: string
  readonly teamId: string
  readonly botUserId: string
  readonly signingSecret: string
  /** Slack's old verification token; apps should check the signature instead. */
  readonly verificationToken: string
}

/** An event that waits for its turn. `answered` opens when the call that caused it has been answered. */
export interface PendingEvent {
  readonly event: Json
  readonly channel: string | undefined
  readonly isExtShared: boolean
  readonly answered: Deferred.Deferred<void>
}

/** Milliseconds before each retry. Source: docs.slack.dev/apis/events-api (immediately, 1 minute, 5 minutes). */
export const slackRetryDelays: ReadonlyArray<number> = [0, 60_000, 300_000]

/** A receiver has three seconds. Source: docs.slack.dev/apis/events-api ("respond … within three seconds"). */
export const slackEventTimeoutMillis = 3_000

/** Hands events over for delivery. */
export interface EventSender {
  /** Queues an event; order is the order of these calls. */
  readonly publish: (event: PendingEvent) => void
  /** Shakes hands with the URL (`url_verification`), then sends events there. */
  readonly setUrl: (url: string) => Effect.Effect<void, WorkspaceError>
  /** Stops sending; events that happen meanwhile are lost, as with an app without a Request URL. */
  readonly clearUrl: () => void
  readonly url: () => string | undefined
  /** Waits until nothing is queued, under way, or waiting for a retry. Held-back events do not count. */
  readonly drained: Effect.Effect<void>
  /** Sends held-back events now. */
  readonly release: () => void
}

/** Why Slack sends again. Source: docs.slack.dev/apis/events-api (x-slack-retry-reason). */
type HttpRetryReason = "http_timeout" | "http_error" | "connection_failed"

/**
 * Over a socket `timeout` is what the SDK's own tests have; that envelopes without a connection are sent again too, and
 * as often as by HTTP, is assumed.
 */
type RetryReason = HttpRetryReason | "timeout" | "no_connection"

interface Attempt {
  readonly ok: boolean
  readonly reason: RetryReason | undefined
  readonly status: number | undefined
  readonly noRetry: boolean
}

/**
 * The envelope of docs.slack.dev/apis/events-api (callback field overview), with `authorizations` cut to one
 * installation, and `context_team_id` and `is_ext_shared_channel` as Slack Connect adds them.
 */
const envelope = (installation: Installation, pending: PendingEvent, seconds: number): Json => ({
  token: installation.verificationToken,
  team_id: installation.teamId,
  context_team_id: installation.teamId,
  context_enterprise_id: null,
  api_app_id: installation.appId,
  event: pending.event,
  type: "event_callback",
  event_id: slackId("Ev", 9),
  event_time: seconds,
  authorizations: [
    {
      enterprise_id: null,
      team_id: installation.teamId,
      user_id: installation.botUserId,
      is_bot: true,
      is_enterprise_install: false
    }
  ],
  is_ext_shared_channel: pending.isExtShared,
  event_context: `4-${
    Buffer.from(JSON.stringify({
      et: textOf(pending.event, "type"),
      tid: installation.teamId,
      aid: installation.appId,
      cid: pending.channel ?? ""
    })).toString("base64url")
  }`
})

/** HMAC-SHA256 over `v0:{seconds}:{body}`. Source: docs.slack.dev/authentication/verifying-requests-from-slack */
export const signature = (secret: string, seconds: number, body: Buffer): string =>
  `v0=${crypto.createHmac("sha256", secret).update(`v0:${seconds}:`).update(body).digest("hex")}`

/** Starts delivering for the life of the scope. */
export const startEventSender = Effect.fn("EventSender.start")(function*(options: {
  readonly installation: Installation
  /** Where Socket Mode is on, events go there and to no URL. */
  readonly sockets?: SocketServer
  readonly faults: Faults
  readonly watch: Watch
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly retryDelays: ReadonlyArray<number>
  readonly timeoutMillis: number
}): Effect.fn.Return<EventSender, never, Scope.Scope> {
  const { installation, now, watch } = options
  const scope = yield* Scope.Scope
  const queue = yield* Queue.unbounded<PendingEvent>()
  const agent = yield* Effect.acquireRelease(
    // A connection a delivery: a receiver may close a kept one just when the next event has been written to it.
    Effect.sync(() => new http.Agent({ keepAlive: false, maxSockets: 64 })),
    (pool) => Effect.sync(() => pool.destroy())
  )
  let url: string | undefined
  let open = 0
  const waiting = new Set<Deferred.Deferred<void>>()
  const held: Array<{ behind: number; readonly deliver: () => void }> = []
  const fork = Effect.runForkWith(yield* Effect.context<never>())

  const closeOne = () => {
    open -= 1
    if (open > 0) return
    // Who is told goes on at once, and may wait again for what it publishes.
    const told = [...waiting]
    waiting.clear()
    for (const deferred of told) Deferred.doneUnsafe(deferred, Effect.void)
  }

  const post = (
    target: string,
    body: Buffer,
    retry: { readonly num: number; readonly reason: RetryReason } | undefined
  ) => {
    const seconds = Math.floor(now() / 1000)
    return send(agent, {
      url: target,
      method: "POST",
      headers: {
        "content-type": "application/json",
        "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
        "x-slack-request-timestamp": String(seconds),
        "x-slack-signature": signature(installation.signingSecret, seconds, body),
        ...(retry === undefined ? {} : { "x-slack-retry-num": String(retry.num), "x-slack-retry-reason": retry.reason })
      },
      body
    })
  }

  const attempt = (
    target: string,
    body: Buffer,
    retry: { readonly num: number; readonly reason: RetryReason } | undefined
  ) =>
    post(target, body, retry).pipe(
      Effect.map((reply): Attempt => {
        const ok = reply.status >= 200 && reply.status < 300
        return {
          ok,
          reason: ok ? undefined : "http_error",
          status: reply.status,
          noRetry: reply.headers["x-slack-no-retry"] === "1"
        }
      }),
      Effect.orElseSucceed((): Attempt => ({
        ok: false,
        reason: "connection_failed",
        status: undefined,
        noRetry: false
      })),
      // The connection is closed; whether the handler goes on behind it is the receiver's affair.
      Effect.timeoutOrElse({
        duration: options.timeoutMillis,
        orElse: () => Effect.succeed<Attempt>({ ok: false, reason: "http_timeout", status: undefined, noRetry: false })
      })
    )

  /** Assumed: the schedule of the repetitions is that of HTTP. */
  const overSockets = (
    payload: Json,
    retry: { readonly num: number; readonly reason: RetryReason } | undefined
  ): Effect.Effect<Attempt> =>
    options.sockets === undefined
      ? Effect.succeed<Attempt>({ ok: false, reason: "no_connection", status: undefined, noRetry: true })
      : Effect.map(
        options.sockets.deliver({ type: "events_api", payload, ...(retry === undefined ? {} : { retry }) }),
        ({ ok, reason }): Attempt => ({ ok, reason, status: undefined, noRetry: false })
      )

  const deliver = Effect.fnUntraced(function*(full: Json, body: Buffer, about: Json, fault: EventFault | undefined) {
    const ignored = fault?.kind === "ignore-answers" ? fault.count : 0
    let last: RetryReason | undefined
    for (let num = 0; num <= options.retryDelays.length; num++) {
      if (num > 0) yield* Effect.sleep(options.retryDelays[num - 1] ?? 0)
      const target = url
      const overSocket = options.sockets?.isOn() === true
      if (target === undefined && !overSocket) return
      const started = now()
      const retry = last === undefined ? undefined : { num, reason: last }
      const real = overSocket || target === undefined
        ? yield* overSockets(full, retry)
        : yield* attempt(target, body, retry)
      const result: Attempt = num < ignored && fault?.kind === "ignore-answers"
        ? { ok: false, reason: fault.reason, status: real.status, noRetry: false }
        : real
      watch.tell("delivery", {}, {
        ...about,
        attempt: num,
        ok: result.ok,
        reason: result.reason ?? null,
        status: result.status ?? null,
        millis: now() - started
      })
      if (result.ok || result.noRetry) return
      last = result.reason
    }
  })

  const handOver = Effect.fnUntraced(function*(pending: PendingEvent) {
    yield* Deferred.await(pending.answered)
    if (url === undefined && options.sockets?.isOn() !== true) return closeOne()
    const type = textOf(pending.event, "type") ?? ""
    const fault = options.faults.forEvent(type, textOf(pending.event, "subtype"), pending.channel)
    const full = envelope(installation, pending, Math.floor(now() / 1000))
    // Serialised once: retries and duplicates are the same bytes.
    const body = Buffer.from(JSON.stringify(full))
    const about = {
      event_id: full["event_id"],
      type,
      ...(pending.channel === undefined ? {} : { channel: pending.channel }),
      ...(textOf(pending.event, "ts") === undefined ? {} : { event_message_ts: textOf(pending.event, "ts") })
    }
    const start = (delayMillis: number, copies: number) => {
      open += copies - 1
      for (let copy = 0; copy < copies; copy++) {
        const delivery = deliver(full, body, about, fault).pipe(Effect.ensuring(Effect.sync(closeOne)))
        fork(Effect.forkIn(delayMillis > 0 ? Effect.delay(delivery, delayMillis) : delivery, scope))
      }
    }
    if (fault?.kind === "drop") {
      watch.tell("delivery", {}, { ...about, attempt: 0, ok: false, reason: "dropped on purpose" })
      closeOne()
    } else if (fault?.kind === "hold-back") {
      open -= 1
      held.push({
        behind: fault.behind,
        deliver: () => {
          open += 1
          start(0, 1)
        }
      })
      if (open === 0) {
        open += 1
        closeOne()
      }
      return
    } else {
      start(fault?.kind === "delay" ? fault.millis : 0, fault?.kind === "duplicate" ? fault.copies : 1)
    }
    for (const waiter of held) waiter.behind -= 1
    for (const ripe of held.filter((waiter) => waiter.behind <= 0)) {
      held.splice(held.indexOf(ripe), 1)
      ripe.deliver()
    }
  })

  yield* unending("an event was lost by a defect of the workspace", 0, Effect.flatMap(Queue.take(queue), handOver))
    .pipe(
      Effect.forkIn(scope)
    )

  const shakeHands = Effect.fnUntraced(function*(target: string) {
    const challenge = crypto.randomBytes(24).toString("base64url")
    const body = Buffer.from(JSON.stringify({
      token: installation.verificationToken,
      challenge,
      type: "url_verification"
    }))
    const failure = (detail: string) =>
      new WorkspaceError({
        reason: "events-url",
        detail: `the events URL ${target} was not accepted: ${detail}.`,
        remedy: "The receiver must answer a signed url_verification with 200 and the challenge within 3 seconds."
      })
    const reply = yield* post(target, body, undefined).pipe(
      Effect.mapError((error) => failure(error.message)),
      Effect.timeoutOrElse({
        duration: options.timeoutMillis,
        orElse: () => Effect.fail(failure("no answer within 3 seconds"))
      })
    )
    const text = reply.body.toString("utf8").trim()
    const parsed = parseJson(text)
    const answer = isJson(parsed) ? textOf(parsed, "challenge") : new URLSearchParams(text).get("challenge") ?? text
    if (reply.status !== 200) return yield* failure(`it answered ${reply.status}`)
    if (answer !== challenge) return yield* failure("it did not answer with the challenge")
  })

  return {
    publish: (pending) => {
      open += 1
      Queue.offerUnsafe(queue, pending)
    },
    setUrl: Effect.fn("EventSender.setUrl")(function*(target) {
      yield* shakeHands(target)
      url = target
    }),
    clearUrl: () => {
      url = undefined
    },
    url: () => url,
    drained: Effect.suspend(() => {
      if (open === 0) return Effect.void
      const deferred = Deferred.makeUnsafe<void>()
      waiting.add(deferred)
      return Deferred.await(deferred)
    }),
    release: () => {
      for (const waiter of held.splice(0, held.length)) waiter.deliver()
    }
  }
})
