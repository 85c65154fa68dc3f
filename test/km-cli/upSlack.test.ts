/** `km up` of an install whose workspace is not the one that it starts: everything runs but that. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { readInstall, statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { km, kmStarted, kmUp } from "../support/KmProcess.ts"
import { makeStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

describe("km up with a workspace of somebody else's", () => {
  it.live("answers, ends with km down, and leaves install.json as it was", () =>
    Effect.gen(function*() {
      const { sandbox, state, workspace } = yield* makeStack()
      const install = yield* readInstall(state)
      yield* writeInstall(state, { ...install, local: false })
      const before = readFileSync(path.join(state, "install.json"), "utf8")
      const up = yield* kmUp(state)
      assert.deepStrictEqual([up.ready["bridgeUrl"], up.ready["workspaceUrl"]], [install.bridgeUrl, undefined])
      assert.strictEqual(readFileSync(path.join(state, "install.json"), "utf8"), before)
      yield* workspace.setEventsUrl(`${install.bridgeUrl}/events`)

      const parts = Option.getOrThrow(yield* UpFile.read(statePaths(state).run)).children
      assert.deepStrictEqual(parts.map(({ name }) => name).toSorted(), ["bridge", "control", "model", "runtime"])
      const { row, say, untilReaction } = yield* sandbox()
      yield* untilReaction(yield* say("script:text here I am"), "white_check_mark")

      // Killed in the middle of anything, the control plane comes back and ends what is over.
      const controlOf = Effect.map(km(state, ["status", "--json"]), ({ out }) =>
        (JSON.parse(out) as { control: { pid: number | null } }).control.pid)
      const first = yield* controlOf
      assert.strictEqual(
        first,
        parts.find(({ name }) =>
          name === "control"
        )?.process.pid
      )
      process.kill(first ?? 0, "SIGKILL")
      const second = yield* untilReal(
        "there is another control plane",
        Effect.map(controlOf, (pid) => pid !== null && pid !== first && pid)
      )
      assert.notStrictEqual(second, first)
      const planned = yield* km(state, ["at", "in 1 second", "destroy", row.id, "--name", "end", "--yes"])
      assert.strictEqual(planned.exit, 0, planned.err)
      yield* untilReal(
        "the sandbox is gone",
        Effect.map(km(state, ["list", "--json"]), ({ out }) => !out.includes(row.id))
      )
      const logs = yield* km(state, ["logs", "--part", "control"])
      assert.match(logs.out, /control: sandbox destroyed/)
      const doctor = yield* km(state, ["doctor"])
      assert.match(doctor.out, /ok +control plane +process \d+/)

      for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
        const follows = yield* kmStarted(state, ["logs", "--part", "control", "--follow"], {})
        yield* untilReal("it follows", Effect.sync(() => follows.out() !== ""))
        follows.child.kill(signal)
        assert.strictEqual(yield* Effect.promise(() => follows.ended), exit)
      }

      const down = yield* km(state, ["down"])
      assert.strictEqual(down.exit, 0, down.err)
      assert.strictEqual(yield* Effect.promise(() => up.ended), 0, "ended as it should be")
      assert.match((yield* km(state, ["doctor"])).out, /ERROR +control plane +not running/)
      assert.match((yield* km(state, ["status"])).out, /\ncontrol +not running\n/)
    }).pipe(Effect.scoped))
})
