/** Each plugin left out in turn, its folder gone: the rest is whole, starts, and does what it does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { builtInPlugins } from "../../plugins/index.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import { Reports } from "../../runtime/ports/Reports.ts"
import { listWithout, pluginIds, ranIn, testsOf, treeWithout } from "../support/leftOut.ts"
import { slackProfile } from "../support/profiles.ts"
import { botTexts, makeStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

const list = fs.readFileSync(new URL("../../plugins/index.ts", import.meta.url), "utf8")

describe("a plugin that is left out", () => {
  it.each(pluginIds)("%s: only its own lines and its own tests go with it", (id) => {
    const left = listWithout(list, id)
    assert.notInclude(left, `./${id}/`)
    for (const other of pluginIds) if (other !== id) assert.include(left, `./${other}/`)
    const tests = [...testsOf(id)]
    assert.isNotEmpty(tests)
    const others = tests.filter((file) =>
      pluginIds.some((other) => other !== id && file.startsWith(path.join("test", "plugins", other)))
    )
    assert.deepStrictEqual(others, [])
  })

  it.live.each(pluginIds)("%s: everything else type-checks", (id) =>
    Effect.gen(function*() {
      const tree = yield* treeWithout(id, false)
      assert.deepStrictEqual(yield* ranIn(tree, "typescript/bin/tsc", ["-p", "."]), { exit: 0, said: "" })
    }))

  it.live.each(pluginIds)(
    "%s: a sandbox starts with the others, and answers where chat is not what is left out",
    (id) =>
      Effect.gen(function*() {
        const tree = yield* treeWithout(id, false)
        const stack = yield* makeStack({ runtimeRoot: path.join(tree, "runtime", "sandbox", "main.ts") })
        yield* stack.startBridge
        yield* stack.startRuntime
        const { channel, row, say, thread, untilReaction } = yield* stack.sandbox(slackProfile)
        const states = Effect.gen(function*() {
          const { plugins, ready } = yield* (yield* Reports).get(row.id)
          return { ready, states: plugins.map((plugin) => `${plugin.id} ${plugin.state}`).toSorted() }
        }).pipe(Effect.provide(EmbeddedEngine.layer(stack.state)), Effect.orDie)
        const others = builtInPlugins.filter((plugin) => plugin.id !== id && plugin.enabled(slackProfile))
        const whole = others.map((other) => `${other.id} running`).toSorted()
        yield* untilReal("the others run", Effect.map(states, (now) => now.ready && now.states.join() === whole.join()))
        if (id === "slack-inbound") return
        const ts = yield* say("hello")
        yield* untilReaction(ts, "white_check_mark")
        assert.isNotEmpty(botTexts(yield* thread(ts), stack.workspace.botUserId), channel)
      })
  )
})
