/** The small actions: links, threads, people, and a runtime's sign of life. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import type {
  ActivityAction,
  BridgeResult,
  PermalinkAction,
  ThreadLookupAction,
  ThreadPutAction,
  UserLookupAction
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { clip } from "../render/fallbackText.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack } from "../slack/SlackErrors.ts"
import type { Caller } from "./Authenticator.ts"
import { Ownership } from "./Ownership.ts"

const Permalink = Schema.Struct({ permalink: Schema.String })

const sandboxOnly = (caller: Caller) =>
  caller.sender === "operator"
    ? Effect.fail(new BridgeRefusal({ code: "forbidden", detail: "this action is for sandboxes" }))
    : Effect.succeed(caller.sender)

export class Lookups extends Context.Service<Lookups, {
  readonly permalink: (action: typeof PermalinkAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly threadPut: (
    caller: Caller,
    action: typeof ThreadPutAction.Type
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  /** Only the sender's own threads; operators see all that the caller can name. */
  readonly threadLookup: (
    caller: Caller,
    action: typeof ThreadLookupAction.Type
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly user: (action: typeof UserLookupAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly activity: (
    caller: Caller,
    action: typeof ActivityAction.Type
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/Lookups") {
  static readonly layer = Layer.effect(
    Lookups,
    Effect.gen(function*() {
      const callPermalink = callAs(yield* SlackApi, Permalink)
      const threads = yield* Threads
      const reports = yield* Reports
      const sandboxes = yield* Sandboxes
      const identity = yield* BotIdentity
      const ownership = yield* Ownership

      return Lookups.of({
        permalink: (action) =>
          callPermalink("chat.getPermalink", { channel: action.channel, message_ts: action.ts }).pipe(
            Effect.map(({ permalink }) => ({ ok: true as const, permalink })),
            Effect.mapError(refusalOfSlack)
          ),
        threadPut: Effect.fn("Lookups.threadPut")(function*(caller, action) {
          const sandbox = yield* sandboxOnly(caller)
          const existing = yield* Effect.mapError(threads.get(action.channel, action.threadTs), refusalOfStore)
          if (Option.isSome(existing) && existing.value.sandbox !== sandbox) {
            return yield* new BridgeRefusal({ code: "forbidden", detail: "the thread belongs to another sandbox" })
          }
          const now = yield* Clock.currentTimeMillis
          yield* Effect.mapError(
            threads.put({
              channel: action.channel,
              threadTs: action.threadTs,
              sandbox,
              session: action.session,
              createdAt: now,
              lastTurnAt: now
            }),
            refusalOfStore
          )
          return { ok: true as const }
        }),
        threadLookup: Effect.fn("Lookups.threadLookup")(function*(caller, action) {
          if ((action.session === undefined) === (action.threadTs === undefined)) {
            return yield* new BridgeRefusal({ code: "bad_request", detail: "give either threadTs or session" })
          }
          const sandbox = yield* sandboxOnly(caller)
          const { channel } = yield* ownership.rowOf(sandbox)
          const found = action.session !== undefined
            ? yield* Effect.mapError(threads.bySession(action.session), refusalOfStore)
            : channel === undefined || action.threadTs === undefined
            ? Option.none()
            : yield* Effect.mapError(threads.get(channel, action.threadTs), refusalOfStore)
          if (Option.isNone(found) || found.value.sandbox !== sandbox) return { ok: true as const }
          const { session, threadTs } = found.value
          return {
            ok: true as const,
            thread: { channel: found.value.channel, threadTs, ...(session === undefined ? {} : { session }) }
          }
        }),
        user: Effect.fn("Lookups.user")(function*(action) {
          const person = yield* identity.person(action.user)
          const bot = yield* identity.bot
          return {
            ok: true as const,
            user: {
              id: action.user,
              name: person.name,
              external: person.team !== undefined && person.team !== bot.team
            }
          }
        }, Effect.mapError(refusalOfSlack)),
        activity: Effect.fn("Lookups.activity")(function*(caller, action) {
          const sandbox = yield* sandboxOnly(caller)
          const now = yield* Clock.currentTimeMillis
          // Whoever is being destroyed leaves no report behind.
          const row = yield* Effect.mapError(sandboxes.get(sandbox), refusalOfStore)
          if (Option.isNone(row) || isEnding(row.value)) return { ok: true as const }
          yield* Effect.mapError(
            reports.put(sandbox, {
              lastSeenAt: now,
              ready: action.ready,
              confined: action.confined,
              // A sandbox cannot say that it will be active in the future, and so never be idle.
              ...(action.lastActiveAt > 0 ? { lastActiveAt: Math.min(action.lastActiveAt, now) } : {}),
              plugins: action.plugins.slice(0, 20).map((plugin) => ({
                id: clip(plugin.id, 60),
                state: clip(plugin.state, 40),
                detail: clip(plugin.detail, 300)
              }))
            }),
            refusalOfStore
          )
          return { ok: true as const }
        })
      })
    })
  )
}
