import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { MessageTs, SessionId } from "../../../runtime/domain/sandbox/Ids.ts"
import { redactedMark } from "../../../runtime/domain/text/Redactor.ts"
import type { HookEvent } from "../../../runtime/domain/turn/HookEvent.ts"
import { Bridge } from "../../../runtime/ports/Bridge.ts"
import { channel } from "../../support/turnRows.ts"
import {
  atRest,
  canary,
  display,
  eventually,
  line,
  makeWorld,
  otherSession,
  session,
  type World
} from "./transcriptWorld.ts"

const said = (prompt: string, promptId = "p1", more: Partial<HookEvent> = {}): HookEvent => ({
  session_id: session,
  prompt_id: promptId,
  ...more,
  hook_event_name: "UserPromptSubmit",
  prompt
})

const stop = (text: string, promptId = "p1"): HookEvent => ({
  session_id: session,
  prompt_id: promptId,
  hook_event_name: "Stop",
  last_assistant_message: text
})

const headers = (world: World) => world.actions("post").filter((post) => post.threadTs === undefined)

describe("transcript: sessions a person started", () => {
  it.effect("have one thread, also after a restart, one live message a prompt, and one attached file", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const first = yield* Scope.make()
      yield* world.start().pipe(Scope.provide(first))
      world.hear({ session_id: session, hook_event_name: "SessionStart", source: "startup" }, false)
      yield* atRest
      assert.deepStrictEqual(world.bridge.calls, [], "a session without a prompt opens no thread")
      world.hear(said(`what is ${canary}?`), false)
      yield* eventually("the quote", () => world.shown().includes("> what is"))
      world.hear(display("An answer.", "m1"), false)
      yield* atRest
      yield* TestClock.adjust("1 second")
      yield* eventually("the live message", () => world.shown().includes("An answer."))
      assert.strictEqual(world.shown(), `> what is ${redactedMark}?\n\nAn answer.`)
      world.write([line.said("x"), line.text("An answer.")])
      world.hear(stop("An answer."), false)
      yield* eventually("the upload", () => world.actions("upload").length === 1)
      yield* Scope.close(first, Exit.void)

      yield* TestClock.adjust("1 second")
      yield* world.start()
      world.hear(said("and now?", "p2"), false)
      world.hear(display("Another.", "m2", { prompt_id: "p2" }), false)
      world.write([line.said("y", "p2"), line.text("Another.")])
      world.hear(stop("Another.", "p2"), false)
      world.hear({ session_id: session, hook_event_name: "SessionEnd", reason: "other" }, false)
      yield* eventually("the second upload", () => world.actions("upload").length === 2)
      assert.strictEqual(headers(world).length, 1)
      assert.strictEqual(world.actions("thread.put").length, 1)
      assert.deepStrictEqual(world.lives(), [
        `> what is ${redactedMark}?\n\nAn answer.`,
        "> and now?\n\nAnother."
      ])
      assert.deepStrictEqual(world.actions("upload").map(({ replaces }) => replaces), [undefined, "F1"])
      assert.strictEqual(
        new Set(
          world.bridge.calls.flatMap(({ action }) =>
            action.action === "live.set" || action.action === "upload" ? [action.threadTs] : []
          )
        ).size,
        1
      )
    }))

  it.effect("use the thread that a dispatched turn bound to the session", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      const bound = MessageTs.make("1699999999.000001")
      yield* world.start()
      yield* Effect.gen(function*() {
        const bridge = yield* Bridge
        yield* bridge.call({ key: "b", action: { action: "thread.put", channel, threadTs: bound, session } })
      }).pipe(Effect.provide(world.bridge.layer))
      world.hear(said("hi"), false)
      yield* eventually("the live message", () => world.shown().includes("hi"))
      assert.deepStrictEqual(headers(world), [])
      assert.strictEqual(world.actions("live.set")[0]?.threadTs, bound)
    }))

  it.effect("never open a thread for a subagent, nor for a dispatched run's hooks", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("sub", "p1", { agent_id: "a1" }), false)
      world.hear(display("sub", "m1", { agent_id: "a1" }), false)
      world.hear(said("dispatched", "p1", { session_id: otherSession }), true)
      yield* atRest
      yield* TestClock.adjust("10 seconds")
      yield* atRest
      assert.deepStrictEqual(world.bridge.calls, [])
    }))

  it.effect("show the Stop hook's text when the file does not have it within five seconds, and not before", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("hi"), false)
      yield* eventually("the quote", () => world.shown().includes("hi"))
      world.hear(stop("Only the hook knows."), false)
      for (let elapsed = 0; elapsed < 4_900; elapsed += 100) {
        yield* atRest
        yield* TestClock.adjust("100 millis")
      }
      assert.notInclude(world.shown(), "Only the hook")
      for (let elapsed = 0; elapsed < 1_000; elapsed += 100) {
        yield* atRest
        yield* TestClock.adjust("100 millis")
      }
      yield* eventually("the text", () => world.shown().includes("Only the hook knows."))
      assert.notInclude(world.shown(), "working")
    }))

  it.effect("keep what was streamed when a prompt is interrupted and nothing ends it but the session", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      world.hear(said("write a poem"), false)
      world.hear({ ...display("Roses are red,\n", "m1"), final: false } as HookEvent, false)
      world.hear({ session_id: session, hook_event_name: "SessionEnd" }, false)
      yield* eventually(
        "the end",
        () => world.bridge.calls.some(({ action, patience }) => action.action === "live.set" && patience === "durable")
      )
      assert.strictEqual(world.shown(), "> write a poem\n\nRoses are red,")
    }))

  it.effect("announce a permission request when the profile says so, each one once", () =>
    Effect.gen(function*() {
      for (const notify of [true, false]) {
        const world = yield* makeWorld
        yield* world.start(notify)
        world.hear(said("go"), false)
        world.hear({
          session_id: session,
          hook_event_name: "Notification",
          notification_type: "permission_prompt",
          message: `Claude wants ${canary}`
        }, false)
        world.hear({ session_id: session, hook_event_name: "Notification", notification_type: "idle_prompt" }, false)
        yield* eventually("the thread", () => world.lives().length === 1)
        yield* atRest
        const posts = world.actions("post").filter((post) => post.threadTs !== undefined).map((post) => post.markdown)
        assert.deepStrictEqual(posts, notify ? [`🔐 Claude wants ${redactedMark}`] : [])
      }
    }))

  it.effect("open a bounded number of threads in an hour, whatever the agent forges", () =>
    Effect.gen(function*() {
      const world = yield* makeWorld
      yield* world.start()
      for (let n = 0; n < 40; n++) {
        const forged = SessionId.make(`33333333-3333-4333-8333-${String(n).padStart(12, "0")}`)
        world.hear(said("forged", "p", { session_id: forged }), false)
      }
      yield* eventually("the threads", () => headers(world).length >= 30)
      yield* atRest
      assert.strictEqual(headers(world).length, 30)
    }))
})
