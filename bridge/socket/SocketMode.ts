/**
 * Slack's Socket Mode: keeps a connection that the bridge opens itself, so that no public address is needed, and gives
 * what comes over it to the intake. `SocketMachine` decides, this carries out.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { unending } from "../../runtime/ports/Unending.ts"
import { eventErrors } from "../BridgeErrors.ts"
import { BridgeSettings } from "../BridgeSettings.ts"
import { EventIntake, readDelivery } from "../events/EventIntake.ts"
import { Heard } from "../events/Heard.ts"
import { Progress } from "../events/Progress.ts"
import { Interactions } from "../questions/Interactions.ts"
import { jsonOf } from "../RawBody.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import type { SlackFailure } from "../slack/SlackErrors.ts"
import { SlackSecrets } from "../slack/SlackSecrets.ts"
import { socketErrors, type SocketTrouble, troubleOfRefusal } from "./SocketErrors.ts"
import { acknowledgement, type Envelope, readFrame } from "./SocketFrames.ts"
import { type Line, openLine } from "./SocketLine.ts"
import { type Command, initial, type Input, type SocketMachine, step, wakeAt } from "./SocketMachine.ts"
import { type SocketStatus, statusOf } from "./SocketStatus.ts"

/** Envelopes being stored at one time; more are left to Slack's repetition. */
const maxInHand = 256
/** After the closing handshake, for an other side that keeps TCP open. Source: slackapi/node-slack-sdk#2752. */
const closeGraceMillis = 2_000

const Opened = Schema.Struct({ url: Schema.String })

export class SocketMode extends Context.Service<SocketMode, {
  /** Keeps a connection until it is interrupted. Never fails, whatever Slack does. */
  readonly run: Effect.Effect<never>
  readonly status: Effect.Effect<SocketStatus>
}>()("km/bridge/socket/SocketMode") {
  static readonly layer = Layer.effect(
    SocketMode,
    Effect.gen(function*() {
      const settings = yield* BridgeSettings
      const secrets = yield* SlackSecrets
      const slack = yield* SlackApi
      const intake = yield* EventIntake
      const interactions = yield* Interactions
      const progress = yield* Progress
      const heard = yield* Heard
      const open = callAs(slack, Opened)
      const counts = { received: 0, acknowledged: 0, refused: 0, unknown: 0, unreadable: 0 }
      const lines = new Map<number, Line>()
      let machine = initial(yield* Clock.currentTimeMillis)
      let inHand = 0
      /** The one that was last shown to Slack. */
      let token: string | undefined

      const storedToken = Effect.map(
        Effect.andThen(secrets.forget, secrets.appToken),
        (value) => Option.getOrUndefined(Option.map(value, Redacted.value))
      )

      /** What becomes of one envelope; true when Slack may forget it. */
      const settled = Effect.fnUntraced(
        function*(envelope: Envelope) {
          if (envelope.type === "interactive") {
            yield* heard.signed("event")
            yield* interactions.take(JSON.stringify(envelope.payload ?? null), envelope.payload)
            return true
          }
          if (envelope.type !== "events_api") {
            counts.unknown += 1
            yield* Effect.logInfo("an envelope of a kind that is not read").pipe(
              Effect.annotateLogs({ type: envelope.type.slice(0, 80) })
            )
            return true
          }
          const repeated = (envelope.retry_attempt ?? 0) > 0
          // The text that its strings are judged by is made again: the frame holds more than the event.
          const delivery = yield* readDelivery(JSON.stringify(envelope.payload ?? null), envelope.payload, repeated)
          yield* heard.signed("event")
          yield* intake.take(delivery)
          return true
        },
        Effect.catchTag("EventRefused", (refused) => {
          counts.refused += 1
          const { code, status } = eventErrors[refused.reason]
          return Effect.as(
            Effect.logWarning("event refused").pipe(
              Effect.annotateLogs({ code, detail: refused.detail }),
              Effect.andThen(heard.refused(code, refused.detail))
            ),
            // What was not stored Slack is to send again; what is wrong for good it must not.
            status !== 503
          )
        })
      )

      const envelope = Effect.fn("SocketMode.envelope")(
        function*(link: number, received: Envelope) {
          if (!(yield* settled(received))) return
          if (lines.get(link)?.send(acknowledgement(received.envelope_id)) === true) counts.acknowledged += 1
        },
        Effect.catchDefect((defect) => {
          progress.missed()
          return Effect.logError("an envelope ended in a defect", defect)
        }),
        Effect.ensuring(Effect.sync(() => {
          inHand -= 1
        }))
      )

      const run = Effect.gen(function*() {
        const inputs = yield* Queue.unbounded<Input>()
        const tell = (input: Input): void => void Queue.offerUnsafe(inputs, input)
        const fork = Effect.runForkWith(yield* Effect.context<never>())
        const scope = yield* Effect.scope
        const inScope = <A>(effect: Effect.Effect<A>): void => void fork(Effect.forkIn(effect, scope))

        const onText = (link: number, text: string): void => {
          tell({ _tag: "Heard", link })
          const frame = Option.getOrUndefined(Option.flatMap(jsonOf(text), readFrame))
          if (frame === undefined) {
            counts.unreadable += 1
            return
          }
          if (frame._tag === "Disconnect") return tell({ _tag: "Told", link, reason: frame.reason })
          if (frame._tag === "Hello") {
            if (settings.appId === undefined || frame.appId === undefined || frame.appId === settings.appId) {
              return tell({ _tag: "Hello", link, lifeMillis: frame.lifeMillis })
            }
            lines.get(link)?.close()
            return tell({ _tag: "NotOpened", link, kind: "wrong_app", detail: `app ${frame.appId.slice(0, 24)}` })
          }
          counts.received += 1
          if (inHand >= maxInHand) return progress.missed()
          inHand += 1
          inScope(envelope(link, frame.envelope))
        }

        const notOpened = (link: number, kind: SocketTrouble, detail: string, retryAfterMillis = 0) =>
          Effect.sync(() => tell({ _tag: "NotOpened", link, kind, detail, retryAfterMillis }))

        const refused = (link: number, failure: SlackFailure) => {
          switch (failure.kind) {
            case "RateLimited":
              return notOpened(link, "rate_limited", failure.error, failure.retryAfterMillis)
            case "Refused":
              return notOpened(link, troubleOfRefusal(failure.error), failure.error)
            case "Unready":
            case "Uncertain":
              return notOpened(link, "unreachable", failure.error)
          }
        }

        const begin = Effect.fnUntraced(function*(link: number) {
          token = yield* storedToken
          if (token === undefined) return yield* notOpened(link, "no_app_token", "")
          const { url } = yield* open("apps.connections.open", {}, { token: "app" })
          if (!isTrusted(url, settings.slackApiUrl)) {
            return yield* notOpened(link, "refused", "an address that is not Slack's")
          }
          // Given up meanwhile.
          if (!machine.links.some(({ id }) => id === link)) return
          const line = openLine(url, {
            text: (text) => onText(link, text),
            heard: () => tell({ _tag: "Heard", link }),
            closed: () => {
              lines.delete(link)
              tell({ _tag: "Closed", link })
            }
          })
          lines.set(link, line)
        })

        const carryOut = (command: Command): Effect.Effect<void, never, Scope.Scope> => {
          switch (command._tag) {
            case "Open":
              return Effect.asVoid(Effect.forkIn(
                begin(command.link).pipe(
                  Effect.catchTags({
                    SlackFailure: (failure) => refused(command.link, failure),
                    StoreError: (error) => notOpened(command.link, "unreachable", error.message)
                  }),
                  Effect.catchDefect((defect) =>
                    Effect.andThen(
                      Effect.logError("a connection could not be opened because of a defect", defect),
                      notOpened(command.link, "unreachable", "a defect in km")
                    )
                  )
                ),
                scope
              ))
            case "Ping":
              return Effect.sync(() => lines.get(command.link)?.ping())
            case "Close": {
              const line = lines.get(command.link)
              line?.close()
              return line === undefined
                ? Effect.void
                : Effect.asVoid(Effect.forkIn(Effect.delay(Effect.sync(line.cut), closeGraceMillis), scope))
            }
            case "Cut":
              return Effect.sync(() => lines.get(command.link)?.cut())
            case "Missed":
              return Effect.andThen(
                command.to > command.from
                  ? Effect.logInfo("connected to Slack").pipe(
                    Effect.annotateLogs({ millisWithout: Math.round(command.to - command.from) })
                  )
                  : Effect.void,
                Effect.sync(progress.missedNow)
              )
            case "LookAtToken":
              return Effect.matchEffect(storedToken, {
                onFailure: (error) => Effect.logWarning("the app token cannot be read", error.message),
                onSuccess: (stored) =>
                  Effect.sync(() => {
                    if (stored !== undefined && stored !== token) tell({ _tag: "Renewed" })
                  })
              })
          }
        }

        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const line of lines.values()) line.cut()
          })
        )
        let input: Input = { _tag: "Tick" }
        return yield* unending(
          "a step of the socket ended in a defect",
          "1 second",
          Effect.gen(function*() {
            const now = yield* Clock.currentTimeMillis
            const before = machine
            const next = step(machine, input, now, yield* Random.next)
            input = { _tag: "Tick" }
            machine = next.machine
            yield* logChange(before, machine)
            yield* Effect.forEach(next.commands, carryOut, { discard: true })
            input = yield* Effect.timeoutOrElse(Queue.take(inputs), {
              duration: Math.max(1, Math.ceil(wakeAt(machine, now) - now)),
              orElse: () => Effect.succeed<Input>({ _tag: "Tick" })
            })
          })
        )
      }).pipe(
        Effect.scoped,
        // Connections end with their scope; who begins again begins without one.
        Effect.ensuring(Effect.sync(() => {
          machine = { ...machine, links: [] }
        }))
      )

      return SocketMode.of({
        run,
        status: Effect.map(Clock.currentTimeMillis, (now) => statusOf(machine, counts, now))
      })
    })
  )
}

/** Where the API is Slack's, only TLS to Slack's own hosts; where it is a machine's own, that machine's. */
export const isTrusted = (url: string, slackApiUrl: string): boolean => {
  const target = URL.parse(url)
  const api = URL.parse(slackApiUrl)
  if (target === null || api === null) return false
  if (api.protocol === "https:") {
    const domain = api.hostname.split(".").slice(-2).join(".")
    return target.protocol === "wss:" && (target.hostname === domain || target.hostname.endsWith(`.${domain}`))
  }
  return (target.protocol === "ws:" || target.protocol === "wss:") && target.hostname === api.hostname
}

/** A line in the log when it becomes better or worse, not at every try. */
const logChange = (before: SocketMachine, after: SocketMachine): Effect.Effect<void> => {
  const { trouble } = after
  if (trouble === undefined || trouble.kind === before.trouble?.kind) return Effect.void
  const { code, remedy, what } = socketErrors[trouble.kind]
  return Effect.logWarning("no connection to Slack, or none that lasts").pipe(
    Effect.annotateLogs({ code, what, remedy, detail: trouble.detail, retryInMillis: after.tryAt - trouble.since })
  )
}
