/** What people write to us instead of to the agent, and to a sandbox that sleeps, with what people run. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import { pause } from "../../runtime/kernel/sandboxes/SandboxLife.ts"
import * as EmbeddedHost from "../../runtime/substrates/process/EmbeddedHost.ts"
import { ledgerOf } from "../support/ledgerOf.ts"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, reactionsOf, type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

class Running extends Context.Service<Running, Stack>()("km/test/e2e/RunningWords") {}

const chat = { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }
const quietProfile = profileWith(chat)
const debouncing = profileWith({ ...chat, slackBusyPolicy: "debounce" })
const interrupting = profileWith({ ...chat, slackBusyPolicy: "interrupt" })

/** The thread's texts of the bot, once one of them holds these words. */
const untilTold = (stack: Stack, sandbox: StackSandbox, ts: string, words: string) =>
  untilReal(
    `the thread is told: ${words}`,
    Effect.map(sandbox.thread(ts), (view) => {
      const said = botTexts(view, stack.workspace.botUserId)
      return said.some((text) => text.includes(words)) ? said : undefined
    })
  )

/** As `km pause` does it: its runtime has ended when it returns. */
const paused = (stack: Stack, sandbox: StackSandbox) =>
  pause(sandbox.row).pipe(
    Effect.provide(Layer.provideMerge(EmbeddedHost.layer(stack.state), EmbeddedEngine.layer(stack.state)))
  )

describe.concurrent("words", () => {
  layer(Layer.effect(Running, startStack()), { excludeTestServices: true, timeout: "10 minutes" })((it) => {
    it.effect("begin a fresh session, and are no turns themselves", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(quietProfile)
        const ts = yield* sandbox.say("script:text the word is heliotrope")
        yield* sandbox.untilReaction(ts, "white_check_mark")
        yield* sandbox.say("!help", ts)
        yield* untilTold(stack, sandbox, ts, "for people only")
        yield* sandbox.say("!aside did you see that", ts)
        yield* untilTold(stack, sandbox, ts, "does not see")
        // The turn is over once it has left the queue, a moment after its mark.
        yield* untilReal(
          "the thread is at rest",
          Effect.gen(function*() {
            const status = yield* sandbox.say("!status", ts)
            const said = yield* untilReal(
              "an answer",
              Effect.map(sandbox.thread(ts), (view) => {
                const after = view.replies.filter(({ message }) => Number(message["ts"]) > Number(status))
                return after.map(({ message }) => String(message["text"])).find((text) =>
                  text.includes("In this thread")
                )
              })
            )
            return said.includes("nothing runs or waits") ? said : undefined
          })
        )
        yield* sandbox.say("!new", ts)
        yield* untilTold(stack, sandbox, ts, "fresh session: the agent")
        const later = yield* sandbox.say("script:text what was it", ts)
        yield* sandbox.untilReaction(later, "white_check_mark")
        const rows = yield* ledgerOf(stack.state, sandbox.row.id)
        assert.lengthOf(rows, 2)
        assert.notStrictEqual(rows[0]?.session, rows[1]?.session)
        const requests = yield* stack.model.requests
        assert.isFalse(requests.some(({ body }) => body.includes("did you see that")))
        assert.isFalse(requests.some(({ body }) => body.includes("heliotrope") && body.includes("what was it")))
      }))

    it.effect("that interrupt end the turn before them as stopped, and are answered", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(interrupting)
        const begun = path.join(stack.state, "sandboxes", sandbox.row.id, "workspace", "begun")
        const first = yield* sandbox.say(bashScript("echo $$ > begun; sleep 600; echo never"))
        yield* untilReal("the first runs", Effect.sync(() => fs.existsSync(begun) && fs.readFileSync(begun).length > 0))
        const pid = Number(fs.readFileSync(begun, "utf8"))
        const second = yield* sandbox.say("script:text do this instead", first)
        const done = yield* sandbox.untilReaction(second, "white_check_mark")
        const view = yield* sandbox.thread(first)
        assert.include(reactionsOf(view), "octagonal_sign")
        const said = botTexts(done, stack.workspace.botUserId)
        const stopped = said.findIndex((text) => text.includes("a newer message of"))
        const answered = said.findIndex((text) => text.includes("do this instead"))
        assert.isAtLeast(stopped, 0)
        assert.isAbove(answered, stopped)
        assert.isFalse(said.some((text) => text.includes("never")))
        const [newer, older] = yield* ledgerOf(stack.state, sandbox.row.id)
        assert.deepStrictEqual([newer?.result, older?.result], ["answered", "cancelled"])
        assert.isFalse(
          fs.existsSync(`/proc/${pid}/cmdline`) && fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("sleep")
        )
      }))

    it.effect("that one person writes in a row are one turn, each with its mark", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(debouncing)
        const first = yield* sandbox.say("script:text three wishes")
        const others = [yield* sandbox.say("a second wish", first), yield* sandbox.say("a third wish", first)]
        for (const ts of [first, ...others]) yield* sandbox.untilReaction(ts, "white_check_mark")
        const rows = yield* ledgerOf(stack.state, sandbox.row.id)
        const [leader] = rows.filter(({ joined }) => joined === undefined)
        assert.lengthOf(rows, 3)
        assert.deepStrictEqual(rows.filter(({ joined }) => joined !== undefined).map(({ joined }) => joined), [
          leader?.key,
          leader?.key
        ])
        assert.strictEqual(leader?.attempt, 1)
        const bodies = (yield* stack.model.requests).map(({ body }) => body).filter((body) => body.includes("wishes"))
        assert.lengthOf(bodies, 1)
        assert.include(bodies[0], "a second wish")
        assert.include(bodies[0], "a third wish")
        const said = botTexts(yield* sandbox.thread(first), stack.workspace.botUserId)
        assert.lengthOf(said.filter((text) => text.includes("three wishes")), 1)
      }))

    it.effect("to a sandbox that sleeps wake it, and it answers", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(quietProfile)
        yield* paused(stack, sandbox)
        const ts = yield* sandbox.say("script:text good morning")
        yield* untilTold(stack, sandbox, ts, "wakes up now")
        yield* sandbox.untilReaction(ts, "white_check_mark")
        yield* untilTold(stack, sandbox, ts, "good morning")
      }))
  })
})
