/**
 * A turn asks whether it may, people click, and it goes on or is told why not: the real agent, the real programs, the local
 * workspace, and a death of each process at each of the two moments that matter.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { isJson, objectsOf, textOf } from "../../km-cli/local/workspace/Json.ts"
import type { MessageView } from "../../km-cli/local/workspace/Snapshot.ts"
import { approveAction, denyAction } from "../../runtime/domain/slack/Question.ts"
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
})
