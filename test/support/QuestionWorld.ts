/**
 * Bridge and runtime around questions, in memory and on the test's clock, with deaths at any step: what is durable outlives
 * both, everything else goes with its process. Slack is a table of messages.
 */
import { Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Scope } from "effect"
import type { Caller } from "../../bridge/actions/Authenticator.ts"
import { Messages } from "../../bridge/actions/Messages.ts"
import { Ownership } from "../../bridge/actions/Ownership.ts"
import { BridgeSettings } from "../../bridge/BridgeSettings.ts"
import { Questions } from "../../bridge/questions/Questions.ts"
import { type BuiltMessage, Poster } from "../../bridge/slack/Poster.ts"
import {
  ChannelId,
  InstallName,
  MessageTs,
  requestIdOf,
  SandboxId,
  SessionId,
  TeamId,
  TurnKey,
  UserId
} from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import {
  type Click,
  type ClickVerdict,
  decodeQuestion,
  parseButtonValue,
  type QuestionRecord
} from "../../runtime/domain/slack/Question.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import * as AskedPeople from "../../runtime/kernel/questions/AskedPeople.ts"
import type { Consent, ToolCall } from "../../runtime/ports/Agent.ts"
import { Audit, type AuditRecord } from "../../runtime/ports/Audit.ts"
import { Bridge, type BridgeCall } from "../../runtime/ports/Bridge.ts"
import { type AnswerRequest, Controls, isAnswerRequest } from "../../runtime/ports/Controls.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import * as MemoryControls from "../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryLedger from "../../runtime/ports/memory/MemoryLedger.ts"
import { Permissions } from "../../runtime/ports/Permissions.ts"
import { Redaction } from "../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../runtime/ports/SandboxInfo.ts"
import { rowOf } from "../bridge/world.ts"
import { profileWith } from "./profiles.ts"

export const sandbox = SandboxId.make("sb-00000001")
export const channel = ChannelId.make("C0TEST001")
const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")
const team = TeamId.make("T0TEST001")
const turn = TurnKey.make("T0TEST001:C0TEST001:1800000000.000001")

export const people = [UserId.make("U0ADA0001"), UserId.make("U0GRACE01"), UserId.make("U0EVE0001")] as const
/** Eve is of another workspace, and nobody let her in. */
const outsider = people[2]

/** One life of a program: dies when its fuse has burnt down, in the middle of what it does. */
interface Life {
  dead: boolean
  fuse: number
}

/** Before and behind each durable step; a dead program goes on with nothing. */
const step = (life: Life): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!life.dead && life.fuse-- <= 0) life.dead = true
    // Others may come between two steps.
    return life.dead ? Effect.never : Effect.yieldNow
  })
const durable = <A, E, R>(life: Life, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tap(Effect.andThen(step(life), effect), () => step(life))

/** Nobody waits for a dead program: it may have died in the middle of what cannot be interrupted. */
const bury = (scope: Scope.Closeable) => Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })

export interface ShownMessage {
  readonly ts: MessageTs
  built: BuiltMessage
}

export const makeQuestionWorld = (options: { readonly quorum: number }) =>
  Effect.sync(() => {
    const facts = MemoryFacts.makeMemoryFactsState()
    const controls = MemoryControls.makeMemoryControlsState()
    const ledger = MemoryLedger.makeMemoryLedgerState()
    const slack = new Map<string, ShownMessage>()
    const audited: Array<AuditRecord> = []
    const sent: Array<AnswerRequest> = []
    const recorded = new Map<string, BridgeResult>()
    const outbox = new Map<string, BridgeCall>()
    const profile = profileWith({}, {
      agent: {
        permissions: "ask",
        askTimeout: "10m",
        permissionRules: options.quorum === 1 ? [] : [{ tool: "*", verdict: "ask", quorum: options.quorum }]
      }
    })
    const row: TurnRow = {
      key: turn,
      request: {
        key: turn,
        group: `${channel}:1800000000.000001` as TurnRow["request"]["group"],
        origin: {
          kind: "slack",
          team,
          channel,
          ts: MessageTs.make("1800000000.000001"),
          threadTs: MessageTs.make("1800000000.000001"),
          user: people[0],
          userName: "Ada"
        },
        text: "x",
        files: [],
        acceptedAt: 0
      },
      state: "running",
      attempt: 1,
      session,
      resumed: false,
      shown: [],
      receivedAt: 0
    }

    const bridgeLayer = (life: Life) =>
      Questions.layer.pipe(Layer.provide(Layer.mergeAll(
        Layer.effect(
          Facts,
          Effect.map(
            Effect.provide(Facts, MemoryFacts.layerOver(facts)),
            (inner) => Facts.of({ ...inner, put: (...args) => durable(life, inner.put(...args)) })
          )
        ),
        Layer.mock(Audit, {
          record: (entry) => durable(life, Effect.sync(() => void audited.push(entry)))
        }),
        Layer.effect(
          Controls,
          Effect.map(Effect.provide(Controls, MemoryControls.layerOver(controls)), (inner) =>
            Controls.of({
              ...inner,
              send: (to, request) =>
                durable(
                  life,
                  Effect.andThen(
                    Effect.sync(() => isAnswerRequest(request) && void sent.push(request)),
                    inner.send(to, request)
                  )
                )
            }))
        ),
        Errands.layerMemory,
        Layer.mock(Messages, {
          put: (_, message) =>
            durable(
              life,
              Effect.sync(() => {
                const known = slack.get(message.key)
                if (known !== undefined) return known.ts
                const ts = MessageTs.make(`1800000001.${String(slack.size).padStart(6, "0")}`)
                if (message.built !== undefined) slack.set(message.key, { ts, built: message.built })
                return ts
              })
            )
        }),
        Layer.mock(Ownership, {
          rowOf: () => Effect.succeed({ ...rowOf(sandbox, channel, {}, profile), generation: "1" })
        }),
        Layer.mock(Poster, {
          find: ({ key }) => Effect.sync(() => Option.fromNullishOr(slack.get(key)?.ts)),
          rebuild: (_, ts, built) =>
            durable(
              life,
              Effect.sync(() => {
                for (const message of slack.values()) if (message.ts === ts) message.built = built
              })
            )
        }),
        BridgeSettings.layer({
          install: InstallName.make("km"),
          host: "bridge.test",
          certifierPublicKey: new Uint8Array(32),
          slackApiUrl: "http://127.0.0.1:1/",
          operators: new Set(),
          rateScale: 1
        })
      )))

    /** The bridge that runs now; who calls while there is none waits for the next one. */
    let bridge:
      | { readonly life: Life; readonly scope: Scope.Closeable; readonly questions: Questions["Service"] }
      | undefined
    let bridgeUp = Deferred.makeUnsafe<void>()
    const startBridge = Effect.fnUntraced(function*(fuse: number) {
      const old = bridge
      bridge = undefined
      if (old !== undefined) {
        old.life.dead = true
        yield* bury(old.scope)
      }
      const life: Life = { dead: false, fuse }
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithMemoMap(bridgeLayer(life), yield* Layer.makeMemoMap, scope)
      bridge = { life, scope, questions: Context.get(context, Questions) }
      Deferred.doneUnsafe(bridgeUp, Effect.void)
      bridgeUp = Deferred.makeUnsafe()
    })

    const callOnce = (call: BridgeCall) =>
      Effect.suspend((): Effect.Effect<BridgeResult> => {
        const known = recorded.get(call.key)
        const now = bridge
        if (known !== undefined && call.action.action === "ask") return Effect.succeed(known)
        if (now === undefined || now.life.dead) return Effect.never
        const caller = Object.assign({ sender: sandbox, id: requestIdOf(call.key) }) as Caller
        const { action } = call
        const acted = action.action === "ask"
          ? now.questions.ask(caller, action, 0)
          : action.action === "ask.close"
          ? now.questions.close(caller, action)
          : Effect.die("not of this world")
        return acted.pipe(
          Effect.orDie,
          Effect.tap((result) => Effect.sync(() => void recorded.set(call.key, result)))
        )
      })

    /** As the client with its outbox does: again and again until there is an answer; of one question one after the other. */
    const deliver = (life: Life, call: BridgeCall): Effect.Effect<BridgeResult> =>
      Effect.gen(function*() {
        yield* durable(life, Effect.sync(() => void outbox.set(call.key, call)))
        const lane = call.key.replace(/\/close$/, "")
        while (call.key !== lane && outbox.has(lane)) yield* Effect.sleep("1 second")
        for (;;) {
          const done = yield* Effect.raceFirst(
            Effect.option(callOnce(call)),
            Effect.as(Effect.andThen(Effect.suspend(() => Deferred.await(bridgeUp)), Effect.sleep(1)), Option.none())
          )
          if (Option.isSome(done)) {
            yield* durable(life, Effect.sync(() => void outbox.delete(call.key)))
            return done.value
          }
        }
      })

    const runtimeLayer = (life: Life) =>
      AskedPeople.layer.pipe(Layer.provide(Layer.mergeAll(
        Layer.effect(
          Ledger,
          Effect.map(
            Effect.provide(Ledger, MemoryLedger.layerOver(ledger)),
            (inner) => Ledger.of({ ...inner, remember: (...args) => durable(life, inner.remember(...args)) })
          )
        ),
        Layer.effect(
          Controls,
          Effect.map(Effect.provide(Controls, MemoryControls.layerOver(controls)), (inner) =>
            Controls.of({
              ...inner,
              acknowledge: (...args) => durable(life, inner.acknowledge(...args))
            }))
        ),
        Layer.effect(
          Bridge,
          Effect.gen(function*() {
            const scope = yield* Effect.scope
            const call = (one: BridgeCall) => Effect.flatMap(Effect.forkIn(deliver(life, one), scope), Fiber.join)
            for (const left of outbox.values()) yield* Effect.forkIn(deliver(life, left), scope)
            return Bridge.of({ call })
          })
        ),
        Redaction.layer,
        Layer.succeed(SandboxInfo)(SandboxInfo.of({
          id: sandbox,
          install: InstallName.make("km"),
          profile,
          channel,
          label: "demo",
          directories: { state: "/s", home: "/h", workspace: "/w", runs: "/r" }
        }))
      )))

    interface Running {
      readonly life: Life
      readonly scope: Scope.Closeable
      readonly ask: (call: ToolCall) => Effect.Effect<Consent>
      readonly settled: Effect.Effect<void>
    }
    let runtime: Running | undefined
    const startRuntime = Effect.fnUntraced(function*(fuse: number) {
      const old = runtime
      if (old !== undefined) {
        old.life.dead = true
        yield* bury(old.scope)
      }
      const life: Life = { dead: false, fuse }
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithMemoMap(runtimeLayer(life), yield* Layer.makeMemoMap, scope)
      const permissions = Context.get(context, Permissions)
      runtime = {
        life,
        scope,
        ask: (call) => permissions.consent({ row, call, waiting: (asked) => asked }),
        settled: permissions.settled({ ...row, result: "cancelled" })
      }
      return runtime
    })

    const records = (): ReadonlyArray<QuestionRecord> =>
      [...facts.facts.values()].flatMap(({ value }) => Option.toArray(decodeQuestion(value)))

    /** A person presses what the message shows, or what it showed before. */
    const click = Effect.fnUntraced(function*(
      message: ShownMessage,
      value: string,
      user: UserId,
      choice: Click["choice"]
    ): Effect.fn.Return<ClickVerdict | "no answer"> {
      const now = bridge
      const names = Option.getOrUndefined(parseButtonValue(value))
      if (now === undefined || now.life.dead || names === undefined) return "no answer"
      return yield* now.questions.click(
        names,
        { team, user, channel, message: message.ts, choice, value },
        () => ({ name: user, mayDrive: user !== outsider, isOperator: false, generation: "1", sameChannel: true })
      ).pipe(
        Effect.orDie,
        // Three seconds, as Slack gives; the person sees that it failed.
        Effect.timeoutOrElse({ duration: "3 seconds", orElse: () => Effect.succeed("no answer" as const) })
      )
    })

    return {
      slack,
      audited,
      sent,
      records,
      click,
      startBridge,
      startRuntime,
      bridgeIsDead: () => bridge?.life.dead !== false,
      runtimeIsDead: () => runtime?.life.dead !== false,
      /** It will die soon. */
      runtimeIsDoomed: () => (runtime?.life.fuse ?? 0) < 1_000,
      /** A control once more, as a channel that delivers at least once may. */
      redeliver: Effect.suspend(() => {
        const last = sent.at(-1)
        return last === undefined ? Effect.void : Effect.gen(function*() {
          const again = yield* Effect.provide(Controls, MemoryControls.layerOver(controls))
          yield* again.send(sandbox, { ...last, id: `${last.id}-again` })
        }).pipe(Effect.orDie)
      }),
      end: Effect.gen(function*() {
        if (bridge !== undefined) yield* bury(bridge.scope)
        if (runtime !== undefined) yield* bury(runtime.scope)
      })
    }
  })

/** Everything that can go on without time passing does. */
export const calm = Effect.forEach(Array.from({ length: 60 }), () => Effect.yieldNow, { discard: true })

export const quietly = Effect.provide(Logger.layer([]))

/** `value`s of the buttons that a message shows. */
export const buttonsOf = (message: BuiltMessage): ReadonlyArray<string> =>
  [...JSON.stringify(message.blocks).matchAll(/"value":"([^"]+)"/g)].flatMap(([, value]) => value ?? [])
