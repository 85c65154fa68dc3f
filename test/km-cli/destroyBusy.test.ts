/** `km destroy` of a sandbox that people go on writing to: nobody whose message was taken is left without a word. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { readInstall, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { makeStack, reactionsOf } from "../support/Stack.ts"

/** Of a long message the text is only the beginning; its blocks are what is shown. */
const shownOf = (message: Record<string, unknown>) =>
  Array.isArray(message["blocks"])
    ? message["blocks"].map((block: { readonly text?: unknown }) => String(block.text)).join("\n")
    : String(message["text"])

describe("km destroy while messages arrive", () => {
  it.live("tells of every message that was taken, and takes none for what has ended", () =>
    Effect.gen(function*() {
      const { sandbox, state, workspace } = yield* makeStack()
      const install = yield* readInstall(state)
      yield* writeInstall(state, { ...install, local: false })
      const up = yield* kmUp(state)
      yield* workspace.setEventsUrl(`${install.bridgeUrl}/events`)
      const { channel, row, say, untilReaction } = yield* sandbox()
      yield* untilReaction(yield* say("script:slow:600000"), "hourglass_flowing_sand")

      const posted = new Map<string, string>()
      const post = (n: number) =>
        Effect.map(say(`script:text message ${n}`), (ts) => void posted.set(ts, `message ${n}`))
      yield* Effect.forEach(Array.from({ length: 30 }, (_, n) => n), post, { concurrency: 4, discard: true })
      // Over the whole end: the next one is written once the workspace has seen something more of it.
      const writing = yield* Effect.forkChild(
        Effect.gen(function*() {
          for (let n = 30; n < 150; n++) {
            const after = yield* workspace.lastChange
            yield* post(n)
            yield* workspace.waitFor((change) => change.kind !== "call" && change.data["text"] === undefined, after)
          }
        }),
        { startImmediately: true }
      )
      const destroyed = yield* km(state, ["destroy", row.id, "--yes", "--json"])
      assert.strictEqual(destroyed.exit, 0, destroyed.err)
      yield* Fiber.interrupt(writing)
      yield* workspace.eventsDelivered
      assert.strictEqual((yield* km(state, ["down"])).exit, 0)
      yield* Effect.promise(() => up.ended)

      const views = yield* Effect.orDie(workspace.messages(channel, 1_000))
      // More than eighty are named in several posts.
      const summary = views.map(({ message }) => shownOf(message)).filter((text) =>
        text.includes("Not ") || text.startsWith("**Continued")
      )
      const lines = new Set(
        summary.flatMap((text) => text.split("\n").map((line) => line.replace(/^.*script:text /, "")))
      )
      const shown = [...posted].map(([ts, text]) => {
        const view = views.find((one) => one.ts === ts)
        const taken = view !== undefined && reactionsOf(view).includes("eyes")
        const words = view?.replies.map(({ message }) => String(message["text"])) ?? []
        return { text, taken, told: lines.has(text) || words.some((said) => said !== ""), words }
      })
      assert.deepStrictEqual(shown.filter(({ taken, told }) => taken && !told), [])
      // What came too late was refused in words, and none of it is among what waited.
      const refused = shown.filter(({ words }) => words.some((said) => said.includes("Not taken")))
      assert.deepStrictEqual(refused.filter(({ taken, text }) => taken || lines.has(text)), [])
      assert.isAbove(shown.filter(({ taken }) => taken).length, 0)
      assert.isAbove(refused.length, 0)
    }).pipe(Effect.scoped))
})
