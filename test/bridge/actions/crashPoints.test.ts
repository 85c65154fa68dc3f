/**
 * The bridge dies before and after each of its writes and each of its calls to Slack, in virtual time; the client then
 * repeats its request to a new bridge as its outbox does. What Slack shows must be as if nothing had happened.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Deferred, Effect, Exit, Fiber, Layer, Redacted, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { BridgeApp, layerOverSlack } from "../../../bridge/BridgeApp.ts"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import { BotIdentity } from "../../../bridge/slack/BotIdentity.ts"
import { CallQueue } from "../../../bridge/slack/CallQueue.ts"
import { Download, FileDownload } from "../../../bridge/slack/FileDownload.ts"
import { FileTransfer } from "../../../bridge/slack/FileTransfer.ts"
import { SlackApi } from "../../../bridge/slack/SlackApi.ts"
import { SlackFailure } from "../../../bridge/slack/SlackErrors.ts"
import { SlackSecrets } from "../../../bridge/slack/SlackSecrets.ts"
import { Errands } from "../../../runtime/ports/Errands.ts"
import { Idempotency } from "../../../runtime/ports/Idempotency.ts"
import { Identities } from "../../../runtime/ports/Identities.ts"
import * as MemoryAudit from "../../../runtime/ports/memory/MemoryAudit.ts"
import * as MemoryControls from "../../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryFacts from "../../../runtime/ports/memory/MemoryFacts.ts"
import * as MemoryIdempotency from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import { makeMemoryIdempotencyState } from "../../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemoryIdentities from "../../../runtime/ports/memory/MemoryIdentities.ts"
import { makeMemoryIdentitiesState } from "../../../runtime/ports/memory/MemoryIdentities.ts"
import * as MemoryLeases from "../../../runtime/ports/memory/MemoryLeases.ts"
import * as MemoryObjects from "../../../runtime/ports/memory/MemoryObjects.ts"
import { makeMemoryObjectsState } from "../../../runtime/ports/memory/MemoryObjects.ts"
import * as MemoryPosts from "../../../runtime/ports/memory/MemoryPosts.ts"
import { makeMemoryPostsState } from "../../../runtime/ports/memory/MemoryPosts.ts"
import * as MemoryReports from "../../../runtime/ports/memory/MemoryReports.ts"
import * as MemorySandboxes from "../../../runtime/ports/memory/MemorySandboxes.ts"
import { makeMemorySandboxesState } from "../../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import { makeMemorySecretsState } from "../../../runtime/ports/memory/MemorySecrets.ts"
import * as MemorySeen from "../../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryThreads from "../../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../../runtime/ports/memory/MemoryTurnQueue.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import {
  type Answer,
  callV2,
  certified,
  certifier,
  codeOf,
  host,
  install,
  operatorKey,
  rowOf,
  sandbox,
  sandboxKey
} from "../world.ts"
import { channel, type Request, scenarios, threadTs } from "./crashScenarios.ts"
import { bytes } from "./scene.ts"

const bot = { user_id: "U0BOT0001", bot_id: "B0BOT0001", team_id: "T0TEAM0001" }

interface Shown {
  readonly ts: string
  text: string
  readonly key: unknown
  readonly files: Array<{ readonly id: string; readonly name: string; readonly title: string }>
}

/** What survives a bridge: Slack and the tables. */
const makeWorld = () => ({
  shown: [] as Array<Shown>,
  tickets: new Map<string, string>(),
  channels: new Map<
    string,
    { readonly id: string; readonly name: string; readonly creator: string; readonly created: number }
  >(),
  count: 0,
  idempotency: makeMemoryIdempotencyState(),
  identities: makeMemoryIdentitiesState(),
  objects: makeMemoryObjectsState(),
  posts: makeMemoryPostsState(),
  sandboxes: makeMemorySandboxesState(),
  secrets: makeMemorySecretsState()
})
type World = ReturnType<typeof makeWorld>

/** Lets the `at`-th step happen before or after death; steps are numbered from 0, two to an effect. */
const makeDeath = (at: number) => {
  const crashed = Deferred.makeUnsafe<void>()
  let step = 0
  const die = Effect.andThen(Deferred.succeed(crashed, undefined), Effect.never)
  return {
    crashed,
    steps: () => step,
    through: <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        const here = step
        step += 2
        return here === at ? die : here + 1 === at ? Effect.andThen(Effect.exit(effect), die) : effect
      })
  }
}
type Death = ReturnType<typeof makeDeath>

/** Every effect of these methods is a step. */
const mortal = <S extends object>(service: S, death: Death, methods: ReadonlyArray<string>): S =>
  new Proxy(service, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name)
      return typeof value !== "function" || !methods.includes(String(name))
        ? value
        : (...args: ReadonlyArray<unknown>) => death.through(Reflect.apply(value, target, args))
    }
  })

const sharesOf = (places: ReadonlyArray<string>) => ({
  public: { [channel]: places.map((ts) => ({ ts, thread_ts: threadTs })) }
})

const field = (value: unknown, name: string): unknown => Object(value)[name]

const refuse = (method: string, error: string) =>
  Effect.fail(new SlackFailure({ method, kind: "Refused", error, retryAfterMillis: 0 }))
const textIn = (args: Readonly<Record<string, unknown>>): string => String(field(field(args["blocks"], "0"), "text"))

const slackOf = (world: World, death: Death) => {
  const act = Effect.fnUntraced(function*(method: string, args: Readonly<Record<string, unknown>>) {
    const now = yield* Clock.currentTimeMillis
    const fresh = (): string => `${Math.floor(now / 1000)}.${String(++world.count).padStart(6, "0")}`
    const found = world.shown.find((message) => message.ts === args["ts"])
    switch (method) {
      case "chat.postMessage": {
        const key = field(field(args["metadata"], "event_payload"), "key")
        const message = { ts: fresh(), text: textIn(args), key, files: [] }
        world.shown.push(message)
        return { ok: true, ts: message.ts }
      }
      case "chat.update":
        if (found === undefined) return yield* refuse(method, "message_not_found")
        found.text = textIn(args)
        return { ok: true }
      case "chat.delete":
        if (found === undefined) return yield* refuse(method, "message_not_found")
        world.shown.splice(world.shown.indexOf(found), 1)
        return { ok: true }
      case "files.getUploadURLExternal": {
        const id = `F${++world.count}`
        world.tickets.set(id, String(args["filename"]))
        return { ok: true, upload_url: "http://slack.test/upload", file_id: id }
      }
      case "files.completeUploadExternal": {
        const file = field(args["files"], "0")
        const id = String(field(file, "id"))
        const shared = { id, name: world.tickets.get(id) ?? "", title: String(field(file, "title")) }
        const ts = fresh()
        world.shown.push({ ts, text: "", key: undefined, files: [shared] })
        return { ok: true, files: [{ id, shares: sharesOf([ts]) }] }
      }
      case "files.delete":
        for (const message of world.shown) {
          const index = message.files.findIndex(({ id }) => id === args["file"])
          if (index >= 0) message.files.splice(index, 1)
        }
        return { ok: true }
      case "conversations.create": {
        const name = String(args["name"])
        if (world.channels.has(name)) return yield* refuse(method, "name_taken")
        const made = { id: `C0MADE${++world.count}`, name, creator: bot.user_id, created: Math.floor(now / 1000) }
        world.channels.set(name, made)
        return { ok: true, channel: made }
      }
      default:
        return { ok: true }
    }
  })
  const showing = (file: unknown): ReadonlyArray<string> =>
    world.shown.filter(({ files }) => files.some(({ id }) => id === file)).map(({ ts }) => ts)
  const read = (method: string, args: Readonly<Record<string, unknown>>): unknown =>
    method === "auth.test"
      ? { ok: true, ...bot }
      : method === "conversations.list"
      ? { ok: true, channels: [...world.channels.values()] }
      : method === "files.info"
      ? {
        ok: true,
        file: { id: args["file"], user: bot.user_id, channels: [channel], shares: sharesOf(showing(args["file"])) }
      }
      : method === "conversations.replies"
      ? {
        ok: true,
        messages: world.shown.map((message) => ({
          ts: message.ts,
          user: bot.user_id,
          files: message.files,
          metadata: { event_type: "km_message", event_payload: { key: message.key } }
        }))
      }
      : undefined
  return SlackApi.of({
    call: (method, args) =>
      Effect.suspend(() => {
        const answer = read(method, args)
        return answer === undefined ? death.through(act(method, args)) : Effect.succeed(answer)
      })
  })
}

const bridgeIn = Effect.fnUntraced(function*(world: World, death: Death) {
  const overIdempotency = Effect.map(
    Idempotency,
    (port) => mortal(port, death, ["begin", "complete", "release", "abandon"])
  )
  const overPosts = Effect.map(Posts, (port) => mortal(port, death, ["record", "putLive"]))
  const ports = Layer.mergeAll(
    MemoryAudit.layer,
    MemoryControls.layer,
    Layer.effect(Idempotency, overIdempotency).pipe(Layer.provide(MemoryIdempotency.layerOver(world.idempotency))),
    MemoryIdentities.layerOver(world.identities),
    MemoryLeases.layer,
    MemoryObjects.layerOver(world.objects),
    Layer.effect(Posts, overPosts).pipe(Layer.provide(MemoryPosts.layerOver(world.posts))),
    MemorySandboxes.layerOver(world.sandboxes),
    MemoryFacts.layer,
    MemoryReports.layer,
    MemorySecrets.layerOver(world.secrets),
    MemorySeen.layer,
    MemoryThreads.layer,
    MemoryTurnQueue.layer
  )
  const settings = BridgeSettings.layer({
    install,
    host,
    publicUrl: "http://bridge.test",
    certifierPublicKey: certifier.publicKey,
    slackApiUrl: "http://slack.test/api/",
    operators: new Set(),
    rateScale: 1
  })
  const transfer = Layer.succeed(
    FileTransfer,
    FileTransfer.of({ send: (_url, _size, content) => death.through(Stream.runDrain(content)) })
  )
  const downloads = Layer.succeed(
    FileDownload,
    FileDownload.of({ open: () => death.through(Effect.succeed(Download.Refused({ status: 404 }))) })
  )
  const scope = yield* Scope.make()
  const built = yield* layerOverSlack.pipe(
    Layer.provideMerge(BotIdentity.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        Layer.succeed(SlackApi, slackOf(world, death)),
        transfer,
        downloads,
        SlackSecrets.layer,
        CallQueue.layer
      )
    ),
    Layer.provideMerge(Layer.mergeAll(ports, settings, Errands.layerMemory)),
    Layer.fresh,
    Layer.buildWithScope(scope)
  )
  return { app: Context.pick(BridgeApp)(built), ports: built, scope }
})

/** Runs until done, moving the clock a second whenever nothing else can happen. */
const inTime = Effect.fnUntraced(function*<A, E>(effect: Effect.Effect<A, E>) {
  const fiber = yield* Effect.forkChild(effect)
  for (let second = 0; second < 2_000 && fiber.pollUnsafe() === undefined; second++) yield* TestClock.adjust("1 second")
  return yield* Fiber.join(fiber)
})

/** Why it has to be asked for again, as a whole or each that came in it; nothing where all is done. */
const codesIn = (answer: Answer): ReadonlyArray<string> => {
  const { answers } = answer.json
  const all: ReadonlyArray<Answer> = Array.isArray(answers) ? answers.map((json) => ({ ...answer, json })) : [answer]
  return all.flatMap((one) => codeOf(one) ?? (one.status === 200 ? [] : [`status ${one.status}`]))
}

/** Sends the requests one after the other as a client does; true when the bridge died on the way. */
const sendAll = Effect.fnUntraced(function*(
  requests: ReadonlyArray<Request>,
  sent: Map<string, Answer>,
  bridge: Effect.Success<ReturnType<typeof bridgeIn>>,
  death: Death
) {
  const all = Effect.gen(function*() {
    let file = ""
    for (const { action, key, operator } of requests) {
      while (!sent.has(key)) {
        const timestamp = Math.floor((yield* Clock.currentTimeMillis) / 1000)
        const answer = yield* callV2(key, typeof action === "function" ? action(file) : action, {
          timestamp,
          ...(operator === true ? { sender: "operator" } : {})
        })
        const codes = codesIn(answer)
        if (codes.length === 0) sent.set(key, answer)
        else {
          for (const code of codes) assert.include(["in_progress", "unavailable"], code)
          yield* Effect.sleep("1 second")
        }
      }
      file = String(field(sent.get(key)?.json["file"], "id"))
    }
    return false
  }).pipe(Effect.provide(bridge.app))
  return yield* inTime(Effect.raceFirst(all, Effect.as(Deferred.await(death.crashed), true)))
})

const furnished = Effect.fnUntraced(function*(world: World) {
  const { ports } = yield* bridgeIn(world, makeDeath(-1))
  yield* Effect.gen(function*() {
    yield* (yield* Secrets).put("slack/bot-token", Redacted.make("xoxb-test"))
    yield* (yield* Secrets).put("slack/signing-secret", Redacted.make("secret"))
    const identities = yield* Identities
    yield* identities.put(sandbox, "bridge", sandboxKey.keyId, certified(sandbox, sandboxKey))
    yield* identities.put("operator", "operator", operatorKey.keyId, certified("operator", operatorKey))
    yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
    yield* (yield* Objects).put(sandbox, "sessions/s1.jsonl.gz", Stream.make(bytes))
  }).pipe(Effect.provide(ports))
})

/** The world after the requests, with one death at step `at`; and how many steps there were without it. */
const lived = Effect.fnUntraced(function*(requests: ReadonlyArray<Request>, at: number) {
  yield* TestClock.setTime(Date.now())
  const world = makeWorld()
  yield* furnished(world)
  const sent = new Map<string, Answer>()
  const death = makeDeath(at)
  const first = yield* bridgeIn(world, death)
  const died = yield* sendAll(requests, sent, first, death)
  yield* Scope.close(first.scope, Exit.void)
  if (died) {
    const none = makeDeath(-1)
    const second = yield* bridgeIn(world, none)
    yield* sendAll(requests, sent, second, none)
    yield* Scope.close(second.scope, Exit.void)
  }
  return { world, died, steps: death.steps() }
})

const view = (world: World) => ({
  texts: world.shown.map(({ files, text }) => [
    text,
    files.map(({ name }) => name)
  ]),
  channels: [...world.channels.keys()]
})

describe("a bridge that dies anywhere", () => {
  for (const [name, requests] of Object.entries(scenarios)) {
    it.effect(`still shows ${name} once`, () =>
      Effect.gen(function*() {
        const whole = yield* lived(requests, -1)
        const expected = view(whole.world)
        assert.isAbove(expected.texts.length + expected.channels.length, 0)
        assert.isAbove(whole.steps, 4)
        for (let at = 0; at < whole.steps; at++) {
          const { died, world } = yield* lived(requests, at)
          assert.isTrue(died, `step ${at}`)
          assert.deepStrictEqual(view(world), expected, `step ${at} of ${whole.steps}`)
        }
      }))
  }
})
