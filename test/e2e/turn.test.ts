/** The main job: a person writes, and everything that docs/architecture.md promises is seen in the workspace. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { botTexts, filesOf, reactionsOf, startStack } from "../support/Stack.ts"

describe("a turn, end to end", () => {
  it.live("is acknowledged, run, shown, answered once, and its session attached", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const sandbox = yield* stack.sandbox()
      const ts = yield* sandbox.say("please look around and tell me what you see")
      const done = yield* sandbox.untilReaction(ts, "white_check_mark")
      assert.includeMembers([...reactionsOf(done)], ["eyes", "white_check_mark"])
      const texts = botTexts(done, stack.workspace.botUserId)
      assert.isNotEmpty(texts)
      assert.include(texts.join("\n"), "🔧")
      const attached = yield* sandbox.untilFiles(ts, (names) => names.length > 0)
      assert.match(filesOf(attached).join(), /^claude-transcript-[0-9a-f-]{36}\.jsonl\.gz$/)
    }))
})
