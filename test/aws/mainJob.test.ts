/** The main job on the AWS engine: the programs that people run, and nothing of the install's shared state on their disk. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import * as path from "node:path"
import { inject } from "vitest"
import { botTexts, filesOf, reactionsOf, startStack } from "../support/Stack.ts"
import { emulated, freshInstall } from "./SteeredAws.ts"

describe("a turn on the AWS engine, end to end", () => {
  it.live("is acknowledged, run, shown, answered once, and its session attached", () =>
    Effect.gen(function*() {
      const { accountId, region } = emulated
      const stack = yield* startStack({
        place: { install: freshInstall(), aws: { region, accountId, endpoint: inject("motoInRealTime") } }
      })
      const sandbox = yield* stack.sandbox()
      const ts = yield* sandbox.say("please look around and tell me what you see")
      const done = yield* sandbox.untilReaction(ts, "white_check_mark")
      assert.includeMembers([...reactionsOf(done)], ["eyes", "white_check_mark"])
      const texts = botTexts(done, stack.workspace.botUserId)
      assert.isNotEmpty(texts)
      assert.include(texts.join("\n"), "🔧")
      const attached = yield* sandbox.untilFiles(ts, (names) => names.length > 0)
      assert.match(filesOf(attached).join(), /^claude-transcript-[0-9a-f-]{36}\.jsonl\.gz$/)
      // The second message of the thread goes on with the session of the first.
      const again = yield* sandbox.say("and once more", ts)
      const followed = yield* sandbox.untilReaction(again, "white_check_mark")
      assert.isAbove(botTexts(followed, stack.workspace.botUserId).length, texts.length)
      for (const name of ["engine.db", "secrets/slack", "mail", "audit"]) {
        assert.isFalse(existsSync(path.join(stack.state, name)), name)
      }
      yield* stack.destroy(sandbox.row.id)
    }))
})
