/** What operators do with channels: find or create a sandbox's own, fill it, archive it, forget a sandbox. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import type {
  ArchiveAction,
  BridgeResult,
  ChannelEnsureAction,
  PurgeAction
} from "../../runtime/domain/slack/BridgeProtocol.ts"
import { withoutHidden } from "../../runtime/domain/text/HiddenText.ts"
import { Posts } from "../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { BridgeRefusal, refusalOfStore } from "../BridgeErrors.ts"
import { escapeSlack } from "../render/fallbackText.ts"
import { BotIdentity } from "../slack/BotIdentity.ts"
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
const ChannelList = Schema.Struct({
  channels: Schema.Array(Schema.Struct({
    id: ChannelId,
    name: Schema.String,
    creator: Schema.optionalKey(Schema.String),
    /** Unix seconds. */
    created: Schema.optionalKey(Schema.Finite)
  })),
  response_metadata: Schema.optionalKey(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.String) }))
})
const SlackUser = Schema.Struct({ user: Schema.Struct({ id: Schema.String }) })
const decodeSandbox = Schema.decodeUnknownOption(SandboxId)

/** Names tried after `{name}`: `{name}-2` to `{name}-30`. */
const maxSuffix = 30
/** Slack's longest channel name. Source: docs.slack.dev/reference/methods/conversations.create. */
const maxNameLength = 80
/** What the workspace's own rules answer. Source: docs.slack.dev/reference/methods/conversations.create, read 2026-11. */
const creationForbidden = /^(restricted_action|no_permission|user_is_restricted|user_is_ultra_restricted)$/
/** Pages of 1,000 channels that are read for a name; workspaces with more are read no further. */
const maxPages = 20
/** Clocks of Slack and ours may differ by this much. */
const skewMillis = 60_000

interface Found {
  readonly id: ChannelId
  readonly name: string
}

type Former = { readonly state: "usable"; readonly found: Found } | { readonly state: "archived" | "gone" }

const soft = (what: string, effect: Effect.Effect<unknown, SlackFailure>) =>
  Effect.match(effect, { onSuccess: () => [], onFailure: (failure) => [`${what}: ${failure.error}`] })

export class Channels extends Context.Service<Channels, {
  /** `uncertainSince`: an earlier attempt of the same request may have created the channel since then. */
  readonly ensure: (
    action: typeof ChannelEnsureAction.Type,
    uncertainSince: number | undefined
  ) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly archive: (action: typeof ArchiveAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
  readonly purge: (action: typeof PurgeAction.Type) => Effect.Effect<BridgeResult, BridgeRefusal>
}>()("km/bridge/actions/Channels") {
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
      const callList = callAs(slack, ChannelList)
      const identity = yield* BotIdentity

      /** A channel that was used before: usable again, archived for good, or unknown here. */
      const former = (channel: ChannelId) =>
        callChannel("conversations.info", { channel }).pipe(
          Effect.map(({ channel: found }): Former =>
            found.is_archived === true ? { state: "archived" } : { state: "usable", found }
          ),
          Effect.catchIf(
            (failure) => failure.kind === "Refused" && /channel_not_found|not_in_channel/.test(failure.error),
            () => Effect.succeed<Former>({ state: "gone" })
          )
        )

      /** Channels of this name that the bot can see and that are not archived; at most one, names are unique. */
      const named = Effect.fnUntraced(function*(name: string) {
        let cursor: string | undefined
        for (let page = 0; page < maxPages; page++) {
          const answer = yield* callList("conversations.list", {
            types: "public_channel,private_channel",
            exclude_archived: true,
            limit: 1_000,
            ...(cursor === undefined ? {} : { cursor })
          })
          const found = answer.channels.find((channel) => channel.name === name)
          if (found !== undefined) return Option.some(found)
          cursor = answer.response_metadata?.next_cursor
          if (cursor === undefined || cursor === "") break
        }
        return Option.none()
      })

      /**
       * A taken name is ours in two cases only: the channel is the install's shared one, or an earlier attempt of this
       * very request made it and did not live to say so. Otherwise it is somebody else's, and the next number is tried.
       */
      const adopted = Effect.fnUntraced(function*(name: string, shared: boolean, uncertainSince: number | undefined) {
        if (!shared && uncertainSince === undefined) return Option.none<Found>()
        const found = yield* named(name)
        if (Option.isNone(found) || shared) return found
        const bot = yield* identity.bot
        const createdAt = (found.value.created ?? 0) * 1_000
        const ours = found.value.creator === bot.user && createdAt >= (uncertainSince ?? 0) - skewMillis
        return ours ? found : Option.none<Found>()
      })

      const create = Effect.fnUntraced(function*(
        action: typeof ChannelEnsureAction.Type,
        shared: boolean,
        uncertainSince: number | undefined
      ) {
        for (let suffix = 1; suffix <= maxSuffix; suffix++) {
          const tail = suffix === 1 ? "" : `-${suffix}`
          const name = `${action.name.slice(0, maxNameLength - tail.length)}${tail}`
          const made = yield* Effect.result(
            callChannel("conversations.create", { name, is_private: action.private })
          )
          if (made._tag === "Success") return { ...made.success.channel, created: true }
          if (made.failure.kind === "Refused" && creationForbidden.test(made.failure.error)) {
            return yield* new BridgeRefusal({ code: "creation_forbidden", detail: made.failure.message })
          }
          if (made.failure.error !== "name_taken") return yield* refusalOfSlack(made.failure)
          const ours = yield* Effect.mapError(adopted(name, shared, uncertainSince), refusalOfSlack)
          if (Option.isSome(ours)) return { id: ours.value.id, name: ours.value.name, created: !shared }
        }
        return yield* new BridgeRefusal({
          code: "slack_refused",
          detail:
            `the names ${action.name} to ${action.name}-${maxSuffix} are taken in this workspace; choose another alias`
        })
      })

      const invite = Effect.fnUntraced(function*(channel: ChannelId, email: string) {
        const user = yield* Effect.result(callUser("users.lookupByEmail", { email }))
        if (user._tag === "Success") {
          return yield* soft(
            `${email} was not invited`,
            slack.call("conversations.invite", { channel, users: user.success.user.id }).pipe(
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
          slack.call("conversations.inviteShared", { channel, emails: [email], external_limited: true })
        )
      })

      const ensure = Effect.fn("Channels.ensure")(function*(
        action: typeof ChannelEnsureAction.Type,
        uncertainSince: number | undefined
      ) {
        const sandbox = decodeSandbox(action.sandbox)
        const row = Option.isNone(sandbox)
          ? Option.none()
          : yield* Effect.mapError(sandboxes.get(sandbox.value), refusalOfStore)
        const shared = Option.isSome(row) && !row.value.profile.spec.cli.notifySlackPerSandbox
        const previous = action.previous
        const old: Former = previous === undefined
          ? { state: "gone" }
          : yield* Effect.mapError(former(previous), refusalOfSlack)
        const channel = old.state === "usable"
          ? { ...old.found, created: false }
          : yield* create(action, shared, uncertainSince)
        const warnings: Array<string> = []
        if (!channel.created) {
          const join = slack.call("conversations.join", { channel: channel.id }).pipe(
            Effect.catchIf(
              (failure) => /method_not_supported_for_channel_type|already_in_channel/.test(failure.error),
              () => Effect.void
            )
          )
          warnings.push(...(yield* soft("the bot could not join", join)))
        }
        // Found as the sandbox has it: a topic is a message in Slack, and who has left was not invited again.
        const settled = !channel.created && Option.isSome(row) && row.value.channel === channel.id
        if (!settled && action.topic.trim() !== "") {
          warnings.push(
            ...(yield* soft(
              "the topic was not set",
              slack.call(
                "conversations.setTopic",
                { channel: channel.id, topic: escapeSlack(withoutHidden(action.topic)) }
              )
            ))
          )
        }
        const invited = settled ? [] : action.inviteEmails.slice(0, 50)
        for (const email of invited) warnings.push(...(yield* invite(channel.id, email)))
        if (old.state === "archived") {
          const key = `previous/${channel.id}/${previous}`
          const markdown = `This channel continues <#${previous}>, which is archived.`
          warnings.push(
            ...(yield* soft("the earlier channel was not linked", poster.post({ key, channel: channel.id, markdown })))
          )
        }
        return {
          ok: true as const,
          channel: { id: channel.id, name: channel.name, created: channel.created, warnings }
        }
      })

      const archive = Effect.fn("Channels.archive")(function*(action: typeof ArchiveAction.Type) {
        const rows = yield* Effect.mapError(sandboxes.byChannel(action.channel), refusalOfStore)
        if (rows.some((row) => row.channelMode === "shared" || row.channelMode === "override")) {
          return yield* new BridgeRefusal({ code: "forbidden", detail: "only a sandbox's own channel is archived" })
        }
        yield* slack.call("conversations.archive", { channel: action.channel }).pipe(
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
