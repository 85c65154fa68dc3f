/**
 * What schedules can do with sandboxes. An agent run is a turn in a new thread of the sandbox's own channel: the same
 * queue, ledger and pipeline as a message of a person, seen by everyone who sees the sandbox, and open to replies.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Install } from "../../domain/install/Install.ts"
import { durationMillis, type Profile } from "../../domain/profile/Profile.ts"
import { GroupId, SandboxId, slackTurnKey, TurnKey, UserId } from "../../domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { type ActionKind, sandboxActionKinds, type ScheduledAction } from "../../domain/schedule/ScheduleAction.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { TurnRequest } from "../../domain/turn/Turn.ts"
import {
  type ActionDone,
  ActionFailed,
  type ActionRequest,
  type ActionRunner,
  type ActionStarted
} from "../../ports/ActionRunner.ts"
import { Bridge } from "../../ports/Bridge.ts"
import { Sandboxes } from "../../ports/Sandboxes.ts"
import { type HostFailed, SandboxHost } from "../../ports/SandboxHost.ts"
import type { StoreError } from "../../ports/StoreError.ts"
import { TurnQueue } from "../../ports/TurnQueue.ts"
import { TurnRecords } from "../../ports/TurnRecords.ts"
import { creationRemedy, type ScheduleErrorCode } from "../schedules/ScheduleErrors.ts"
import { turnEnd } from "../schedules/WaitingRuns.ts"
import { ask } from "./OperatorBridge.ts"
import { Provisioning } from "./Provisioning.ts"
import { extend, type LifeRefused, pause, resume } from "./SandboxLife.ts"
import { Teardown } from "./Teardown.ts"

/** A created sandbox is given this long to become ready. */
const readyWithin = Duration.minutes(3)

/** Characters of a prompt that are shown above its thread. */
const shownCharacters = 2_000

export interface SandboxActionsOptions {
  readonly install: Install
  /** False where the certifier's key is out of reach: a sandbox needs a certificate. */
  readonly creates: boolean
  /** Reads and checks a profile by its absolute path. */
  readonly readProfile: (path: string) => Effect.Effect<Profile, { readonly message: string }>
}

type Of<Kind extends ActionKind> = ActionRequest<Extract<ScheduledAction, { readonly _tag: Kind }>>

const no = (reason: string, code: ScheduleErrorCode = "KM-SCH-022") =>
  new ActionFailed({ code, reason, passing: false })
const notNow = (error: { readonly message: string }) =>
  new ActionFailed({ code: "KM-SCH-022", reason: error.message, passing: true })

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))
const isUser = Schema.is(UserId)

const short = (text: string, characters: number): string =>
  text.length <= characters ? text : `${text.slice(0, characters - 1).toWellFormed()}…`

/** What the agent is asked; with `expect`, also how to say that it succeeded. */
const promptOf = ({ expect, prompt }: { readonly prompt: string; readonly expect?: string }): string =>
  expect === undefined
    ? prompt
    : `${prompt}\n\nWhen you are done, and only if it succeeded, end your answer with a last line that is exactly:\n${expect}\n` +
      "Otherwise end it with what went wrong. What follows in the pipeline depends on that line alone."

/** Every line as a quotation, so that nothing in a prompt looks like ours. */
const quotation = (text: string): string =>
  short(text, shownCharacters).split(/\r?\n/).map((line) => `> ${line}`).join("\n")

export const makeSandboxActions = Effect.fnUntraced(function*(options: SandboxActionsOptions) {
  const bridge = yield* Bridge
  const host = yield* SandboxHost
  const provisioning = yield* Provisioning
  const queue = yield* TurnQueue
  const sandboxes = yield* Sandboxes
  const records = yield* TurnRecords
  const teardown = yield* Teardown

  const rowOf = Effect.fnUntraced(function*({ target }: ActionRequest) {
    const found = target === undefined ? Option.none() : yield* Effect.mapError(sandboxes.get(target), notNow)
    if (Option.isSome(found) && found.value.status !== "destroying") return found.value
    return yield* no(`${target ?? "the sandbox"} is not there any more`, "KM-SCH-021")
  })

  const create = Effect.fnUntraced(function*({ action, id }: Of<"Create">) {
    // Planned before the setting was as it is now, or by a km with another one.
    if (!options.creates) return yield* no(`this km up creates no sandboxes; ${creationRemedy}`, "KM-SCH-027")
    const profile = yield* Effect.mapError(options.readProfile(action.profile), (error) => no(error.message))
    // Made from the run: after a crash the same sandbox is continued, and the next firing makes another one.
    const sandbox = SandboxId.make(`${profile.metadata.prefix}-${sha256Hex(`schedule/${id}`).slice(0, 8)}`)
    const { alias, unconfined } = action
    const { install, mailDomain } = options.install
    const request = { id: sandbox, install, mailDomain, alias, profile, unconfined, readyWithin }
    const row = yield* provisioning.create(request).pipe(
      Effect.mapError((error) => new ActionFailed({ code: error.code, reason: error.message, passing: false }))
    )
    return { detail: `${row.id} is ready` }
  })

  const destroy = ({ target }: ActionRequest): Effect.Effect<ActionDone, ActionFailed> =>
    target === undefined
      ? Effect.fail(no("no sandbox was named"))
      : Effect.as(Effect.mapError(teardown.run(target, "destroyed"), notNow), { detail: `${target} is destroyed` })

  const extendLife = Effect.fnUntraced(function*(request: Of<"Extend">) {
    const row = yield* rowOf(request)
    const until = yield* life(extend(row, { by: durationMillis(request.action.by) }))
    return { detail: `${row.id} now lives until ${new Date(until).toISOString()}` }
  })

  /** The message that begins the thread, the same one however often it is asked for. */
  const announce = Effect.fnUntraced(function*(row: SandboxRow, { action, id, schedule }: Of<"AgentRun">) {
    const { channel } = row
    const { teamId } = options.install
    const takes = row.profile.spec.cli.notifySlackEnabled && row.profile.spec.cli.notifySlackInboundEnabled
    if (!takes || channel === undefined || teamId === undefined) {
      return yield* no(`${row.id} takes no messages: its profile has chat into the sandbox turned off`)
    }
    if (row.desired !== "running") return yield* no(`${row.id} is paused; km resume ${row.alias ?? row.id} lets it run`)
    const posted = yield* ask(bridge, `schedule/${id}/${channel}/post`, {
      action: "post",
      channel,
      markdown: `⏰ **Scheduled** by \`${schedule}\`:\n\n${quotation(action.prompt)}`
    })
    if (posted._tag === "NotNow") return yield* notNow({ message: posted.reason })
    if (posted._tag === "Undeliverable") return yield* no(posted.reason)
    const ts = posted.result.parts?.[0]?.ts
    if (ts === undefined) return yield* no("the bridge named no message")
    return { channel, ts, team: teamId }
  })

  const send = Effect.fnUntraced(function*(row: SandboxRow, request: Of<"AgentRun">, key: TurnKey) {
    const { channel, team, ts } = yield* announce(row, request)
    const { botUserId } = options.install
    const group = GroupId.make(`${channel}:${ts}`)
    const body = encodeRequest({
      key,
      group,
      origin: {
        kind: "slack",
        team,
        channel,
        ts,
        threadTs: ts,
        user: isUser(botUserId) ? botUserId : UserId.make("USCHEDULE"),
        userName: `schedule ${request.schedule}`
      },
      text: promptOf(request.action),
      files: [],
      acceptedAt: yield* Clock.currentTimeMillis
    })
    // So that 🛑 on the message and replies in its thread find the turn, as for a message of a person.
    const keys = [`turn:${slackTurnKey(team, channel, ts)}`]
    const answer = yield* queue.accept(row.id, { key, group, body }, { generation: row.generation, seen: keys }).pipe(
      Effect.mapError((error) => error._tag === "SandboxEnding" ? no(error.message, "KM-SCH-021") : notNow(error))
    )
    // A deletion marks the message as taken, so that it is not taken after it.
    if (answer._tag === "Repeated" && answer.turn !== key) {
      return yield* no("its message was deleted before its turn could start")
    }
  })

  const agentRun = Effect.fnUntraced(function*(request: Of<"AgentRun">) {
    // Made from the run and not from the message, so that a run that is taken up again is the same turn everywhere.
    const key = TurnKey.make(`at:${request.id.replaceAll("+", ".")}`)
    const row = yield* rowOf(request)
    // The queue forgets a key after 5 minutes. What waits or runs is still in it, what is over has its record.
    const over = yield* Effect.mapError(records.get(row.id, key), notNow)
    const sent = Option.isSome(over) ||
      Option.isSome(yield* Effect.mapError(queue.get(row.id, key), notNow))
    if (!sent) yield* send(row, request, key)
    return { _tag: "Waiting", turn: key } as const
  })

  /** What a row's state does not allow will not pass; trouble of the store or the host may. */
  const life = <A>(effect: Effect.Effect<A, LifeRefused | StoreError | HostFailed, Sandboxes | SandboxHost>) =>
    effect.pipe(
      Effect.provideService(Sandboxes, sandboxes),
      Effect.provideService(SandboxHost, host),
      Effect.mapError((error) => error._tag === "LifeRefused" ? no(error.reason) : notNow(error))
    )

  const paused = Effect.fnUntraced(function*(request: ActionRequest) {
    const row = yield* rowOf(request)
    return { detail: (yield* life(pause(row))) ? `${row.id} is paused` : `${row.id} was paused already` }
  })

  const resumed = Effect.fnUntraced(function*(request: ActionRequest) {
    const row = yield* rowOf(request)
    return { detail: (yield* life(resume(row))) ? `${row.id} is resumed` : `${row.id} was running already` }
  })

  const done = Effect.map((what: ActionDone): ActionStarted => ({ _tag: "Done", ...what }))

  const start = (request: ActionRequest): Effect.Effect<ActionStarted, ActionFailed> => {
    const { action } = request
    switch (action._tag) {
      case "Create":
        return done(create({ ...request, action }))
      case "Destroy":
        return done(destroy(request))
      case "Stop":
        return done(paused(request))
      case "Resume":
        return done(resumed(request))
      case "Extend":
        return done(extendLife({ ...request, action }))
      case "AgentRun":
        return agentRun({ ...request, action })
      case "EmailSend":
        return Effect.fail(no("mail is sent by another runner", "KM-SCH-020"))
    }
  }

  return {
    kinds: sandboxActionKinds,
    start,
    resume: ({ action }, record) => turnEnd(action, record)
  } satisfies ActionRunner
})
