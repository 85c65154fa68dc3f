/** What operators do with channels: find or create a sandbox's own, fill it, archive it, forget a sandbox. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type {
  ArchiveAction,
  BridgeResult,
  ChannelEnsureAction,
  PurgeAction
} from "../../runtime/domain/BridgeProtocol.ts"
import { ChannelId, SandboxId } from "../../runtime/domain/Ids.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { escapeSlack } from "../render/fallbackText.ts"
import { stripHidden } from "../render/neutralise.ts"
import { Poster } from "../slack/Poster.ts"
import { callAs, SlackApi } from "../slack/SlackApi.ts"
import { refusalOfSlack, type SlackFailure } from "../slack/SlackErrors.ts"

const SlackChannel = Schema.Struct({
  channel: Schema.Struct({
    id: ChannelId,
    name: Schema.String,
    is_archived: Schema.optionalKey(Schema.Boolean)
  })
})
const SlackUser = Schema.Struct({ user: Schema.Struct({ id: Schema.String }) })
const decodeSandbox = Schema.decodeUnknownOption(SandboxId)

/** Names tried after `{name}`: `{name}-2` to `{name}-30`. */
const maxSuffix = 30
/** Slack's longest channel name. Source: docs.slack.dev/reference/methods/conversations.create. */
const maxNameLength = 80
const channelsWait = { maxWaitMillis: 60_000 }

interface Found {
  readonly id: ChannelId
  readonly name: string
}

const soft = (what: string, effect: Effect.Effect<unknown, SlackFailure>) =>
  Effect.match(effect, { onSuccess: () => [], onFailure: (failure) => [`${what}: ${failure.error}`] })

export class Channels extends Context.Service<Channels, {
  readonly ensure: (action: typeof ChannelEnsureAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly archive: (action: typeof ArchiveAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly purge: (action: typeof PurgeAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/v2/Channels") {
  static readonly layer = Layer.effect(
    Channels,
    Effect.gen(function*() {
      const slack = yield* SlackApi
      const poster = yield* Poster
      const posts = yield* Posts
      const threads = yield* Threads
      const sandboxes = yield* Sandboxes
      const callChannel = callAs(slack, SlackChannel)
      const callUser = callAs(slack, SlackUser)

      /** Where the channel is usable again: known, not archived, and we are in it. */
      const reuse = (channel: ChannelId) =>
        callChannel("conversations.info", { channel }, channelsWait).pipe(
          Effect.map(({ channel: found }) =>
            found.is_archived === true ? Option.none<Found>() : Option.some<Found>(found)
          ),
          Effect.catchIf(
            (failure) => failure.kind === "Refused" && /channel_not_found|not_in_channel/.test(failure.error),
            () => Effect.succeed(Option.none<Found>())
          )
        )

      /**
       * A row that names a channel already was given one by an earlier, interrupted attempt: it is that sandbox's.
       * Without one, a name that is taken is somebody else's (or archived), so the next number is tried.
       */
      const create = Effect.fnUntraced(function*(name: string, isPrivate: boolean) {
        for (let suffix = 1; suffix <= maxSuffix; suffix++) {
          const tail = suffix === 1 ? "" : `-${suffix}`
          const wanted = `${name.slice(0, maxNameLength - tail.length)}${tail}`
          const made = yield* Effect.result(
            callChannel("conversations.create", { name: wanted, is_private: isPrivate }, channelsWait)
          )
          if (made._tag === "Success") return made.success.channel
          if (made.failure.error !== "name_taken") return yield* refusalOfSlack(made.failure)
        }
        return yield* new BridgeRefusal({
          code: "slack_refused",
          detail: `the names ${name} to ${name}-${maxSuffix} are taken in this workspace; choose another alias`
        })
      })

      const invite = Effect.fnUntraced(function*(channel: ChannelId, email: string) {
        const user = yield* Effect.result(callUser("users.lookupByEmail", { email }, channelsWait))
        if (user._tag === "Success") {
          return yield* soft(
            `${email} was not invited`,
            slack.call("conversations.invite", { channel, users: user.success.user.id }, channelsWait).pipe(
              Effect.catchIf(
                (failure) => ["already_in_channel", "cant_invite_self"].includes(failure.error),
                () => Effect.void
              )
            )
          )
        }
        if (user.failure.error !== "users_not_found") return [`${email} was not invited: ${user.failure.error}`]
        // Nobody of this workspace: Slack Connect.
        return yield* soft(
          `${email} was not invited by Slack Connect`,
          slack.call("conversations.inviteShared", { channel, emails: [email], external_limited: true }, channelsWait)
        )
      })

      const ensure = Effect.fn("Channels.ensure")(function*(action: typeof ChannelEnsureAction.Type) {
        const previous = action.previous
        const old = previous === undefined
          ? Option.none<Found>()
          : yield* Effect.mapError(reuse(previous), refusalOfSlack)
        const channel = Option.isSome(old) ? old.value : yield* create(action.name, action.private)
        const warnings: Array<string> = []
        if (Option.isSome(old)) {
          const join = slack.call("conversations.join", { channel: channel.id }, channelsWait).pipe(
            Effect.catchIf(
              (failure) => /method_not_supported_for_channel_type|already_in_channel/.test(failure.error),
              () => Effect.void
            )
          )
          warnings.push(...(yield* soft("the bot could not join", join)))
        }
        if (action.topic.trim() !== "") {
          warnings.push(
            ...(yield* soft(
              "the topic was not set",
              slack.call(
                "conversations.setTopic",
                { channel: channel.id, topic: escapeSlack(stripHidden(action.topic)) },
                channelsWait
              )
            ))
          )
        }
        for (const email of action.inviteEmails.slice(0, 50)) warnings.push(...(yield* invite(channel.id, email)))
        if (previous !== undefined && Option.isNone(old)) {
          const key = `previous/${channel.id}/${previous}`
          const markdown = `This channel continues <#${previous}>, which is archived.`
          warnings.push(
            ...(yield* soft("the earlier channel was not linked", poster.post({ key, channel: channel.id, markdown })))
          )
        }
        return {
          ok: true as const,
          channel: { id: channel.id, name: channel.name, created: Option.isNone(old), warnings }
        }
      })

      const archive = Effect.fn("Channels.archive")(function*(action: typeof ArchiveAction.Type) {
        const rows = yield* Effect.mapError(sandboxes.byChannel(action.channel), refusalOfStore)
        if (rows.some((row) => row.channelMode === "shared" || row.channelMode === "override")) {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "only a sandbox's own channel is archived" })
        }
        yield* slack.call("conversations.archive", { channel: action.channel }, channelsWait).pipe(
          Effect.catchIf((failure) => failure.error === "already_archived", () => Effect.void),
          Effect.mapError(refusalOfSlack)
        )
        return { ok: true as const }
      })

      const purge = Effect.fn("Channels.purge")(function*(action: typeof PurgeAction.Type) {
        const sandbox = decodeSandbox(action.sandbox)
        if (Option.isNone(sandbox)) {
          return yield* new BridgeRefusal({ code: "bad_request", detail: "sandbox is no sandbox id" })
        }
        yield* Effect.mapError(posts.removeAll(sandbox.value), refusalOfStore)
        yield* Effect.mapError(threads.removeAll(sandbox.value), refusalOfStore)
        return { ok: true as const }
      })

      return Channels.of({ ensure, archive, purge })
    })
  )
}
