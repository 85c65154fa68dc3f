/**
 * A turn asks whether it may, people click, and it goes on or is told why not: the real agent, the real programs, the local
 * workspace, and a death of each process at each of the two moments that matter.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { isJson, objectsOf, textOf } from "../../km-cli/local/workspace/Json.ts"
import type { MessageView } from "../../km-cli/local/workspace/Snapshot.ts"
import { approveAction, denyAction, optionActions } from "../../runtime/domain/slack/Question.ts"
import { ledgerOf } from "../support/ledgerOf.ts"
import { slackProfile } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, type Stack, type StackSandbox, startStack } from "../support/Stack.ts"

const askingProfile = {
  ...slackProfile,
  spec: { ...slackProfile.spec, agent: { ...slackProfile.spec.agent, permissions: "ask" as const } }
}

/** The blocks of a message as one text. */
const blocksText = (view: MessageView): string => JSON.stringify(view.message["blocks"])

const hasButtons = (view: MessageView): boolean =>
  objectsOf(view.message, "blocks").some((block) => isJson(block) && textOf(block, "type") === "actions")

/** Waits for the question of a thread that holds this text. */
const question = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ts: string, shown: string) {
  for (let after = 0;;) {
    const found = (yield* sandbox.thread(ts)).replies.find((reply) =>
      hasButtons(reply) && blocksText(reply).includes(shown)
    )
    if (found !== undefined) return String(found.message["ts"])
    after = (yield* stack.workspace.waitFor((change) => change.seq > after, after)).seq
  }
})

const shows = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ts: string, text: string) {
  for (let after = 0;;) {
    const found = (yield* sandbox.thread(ts)).replies.find((reply) => blocksText(reply).includes(text))
    if (found !== undefined) return found
    after = (yield* stack.workspace.waitFor((change) => change.seq > after, after)).seq
  }
})

describe("questions, end to end", () => {
  it.live(
    "one person approves and the command runs; another denies and the turn goes on without it",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox(askingProfile)
        const { workspace } = stack
        const click = (person: string, ts: string, action: string) =>
          workspace.clicks.click({ person, channel: sandbox.channel, ts, action })

        const first = yield* sandbox.say(bashScript("echo ran-$((40+2))"))
        const asked = yield* question(stack, sandbox, first, "echo ran-")
        assert.deepStrictEqual(yield* click("ada", asked, approveAction), { ok: true, status: 200 })
        const decided = yield* shows(stack, sandbox, first, "Approved by")
        assert.isFalse(hasButtons(decided))
        const done = yield* sandbox.untilReaction(first, "white_check_mark")
        assert.include(botTexts(done, workspace.botUserId).join("\n"), "ran-42")

        const second = yield* sandbox.say(bashScript("echo second-$((40+2))"))
        const again = yield* question(stack, sandbox, second, "echo second-")
        assert.isTrue((yield* click("grace", again, denyAction)).ok)
        const answered = yield* sandbox.untilReaction(second, "white_check_mark")
        const texts = botTexts(answered, workspace.botUserId).join("\n")
        assert.notInclude(texts, "second-42")
        assert.include(texts, "denied this")
        assert.isFalse(hasButtons(yield* shows(stack, sandbox, second, "Denied by")))
      }).pipe(Effect.scoped),
    120_000
  )

  it.live("the agent's own question to its user is answered by a button", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox(askingProfile)
      const first = yield* sandbox.say("script:ask")
      const asked = yield* question(stack, sandbox, first, "Which colour?")
      const action = optionActions[1] ?? ""
      assert.isTrue(
        (yield* stack.workspace.clicks.click({ person: "ada", channel: sandbox.channel, ts: asked, action })).ok
      )
      assert.isFalse(hasButtons(yield* shows(stack, sandbox, first, "answered: Blue")))
      const done = yield* sandbox.untilReaction(first, "white_check_mark")
      assert.include(botTexts(done, stack.workspace.botUserId).join("\n"), "Blue")
    }).pipe(Effect.scoped), 120_000)

  it.live(
    "the bridge killed between question and click, and between click and continuation",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox(askingProfile)
        const { workspace } = stack
        const first = yield* sandbox.say(bashScript("echo ran-$((40+2))"))
        const asked = yield* question(stack, sandbox, first, "echo ran-")
        const click = (ts: string) =>
          workspace.clicks.click({ person: "ada", channel: sandbox.channel, ts, action: approveAction })
        yield* stack.bridge.kill9
        // Slack shows the person that nobody answered.
        assert.isFalse((yield* click(asked)).ok)
        const second = yield* stack.startBridge
        assert.isTrue((yield* click(asked)).ok)
        yield* second.kill9
        yield* stack.startBridge
        yield* shows(stack, sandbox, first, "Approved by")
        const done = yield* sandbox.untilReaction(first, "white_check_mark")
        assert.include(botTexts(done, workspace.botUserId).join("\n"), "ran-42")
        assert.isFalse(done.replies.some(hasButtons))
      }).pipe(Effect.scoped),
    180_000
  )

  it.live(
    "the runtime killed between question and click, and between click and continuation",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox(askingProfile)
        const { workspace } = stack
        const click = (ts: string) =>
          workspace.clicks.click({ person: "ada", channel: sandbox.channel, ts, action: approveAction })
        // The script makes the same call again when it is told to continue.
        const first = yield* sandbox.say("please look around")
        const asked = yield* question(stack, sandbox, first, "uname")
        yield* stack.runtime.kill9
        assert.isTrue((yield* click(asked)).ok)
        yield* shows(stack, sandbox, first, "Approved by")
        yield* stack.startRuntime
        // The decision is taken without another question; the next call asks anew.
        const next = yield* question(stack, sandbox, first, "NOTES.md")
        const { replies } = yield* sandbox.thread(first)
        assert.strictEqual(replies.filter((reply) => blocksText(reply).includes("The agent asks")).length, 2)
        assert.isTrue((yield* click(next)).ok)
        yield* sandbox.untilReaction(first, "white_check_mark")
        assert.strictEqual((yield* ledgerOf(stack.state, sandbox.row.id))[0]?.attempt, 2)
      }).pipe(Effect.scoped),
    180_000
  )

  it.live(
    "stopped while it asks, and nobody there to decide: both are said, and nothing runs",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const sandbox = yield* stack.sandbox({
          ...askingProfile,
          spec: { ...askingProfile.spec, agent: { ...askingProfile.spec.agent, askTimeout: "8s" } }
        })
        const { workspace } = stack
        const first = yield* sandbox.say(bashScript("touch ran"))
        yield* question(stack, sandbox, first, "touch ran")
        yield* sandbox.say("!stop", first)
        const stopped = yield* sandbox.untilReaction(first, "octagonal_sign")
        yield* shows(stack, sandbox, first, "the turn was stopped")
        assert.isFalse(stopped.replies.some((reply) => blocksText(reply).includes("Approved")))

        const second = yield* sandbox.say(bashScript("touch ran"))
        yield* question(stack, sandbox, second, "touch ran")
        const late = yield* shows(stack, sandbox, second, "Nobody decided in time")
        assert.isFalse(hasButtons(late))
        const done = yield* sandbox.untilReaction(second, "white_check_mark")
        assert.include(botTexts(done, workspace.botUserId).join("\n"), "Nobody decided about this within 8s")
        const workspaceFiles = fs.readdirSync(path.join(stack.state, "sandboxes", sandbox.row.id, "workspace"))
        assert.notInclude(workspaceFiles, "ran")
      }).pipe(Effect.scoped),
    180_000
  )
})
