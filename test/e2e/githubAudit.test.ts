/** A profile whose refs are only reported, as an operator meets it: taken with a yes, and said wherever its sandbox is shown. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { km, kmUp } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

describe("sourceAccess.mode: audit", () => {
  it.live("needs --yes at create, and every status says that refs are not enforced", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const profile = path.join(yield* temporaryDirectory, "profile.yaml")
      fs.writeFileSync(
        profile,
        [
          "apiVersion: klankermaker.ai/v1",
          "kind: SandboxProfile",
          "metadata: { name: open }",
          "spec:",
          "  network: none",
          "  cli: { notifyEmailEnabled: false }",
          "  sourceAccess: { mode: audit }"
        ].join("\n")
      )
      yield* kmUp(state)
      const refused = yield* km(state, ["create", profile, "--alias", "open"])
      assert.strictEqual(refused.exit, 2)
      assert.match(refused.err, /KM-CLI-005[\s\S]*refs would not be enforced[\s\S]*--yes/)
      const dry = yield* km(state, ["create", profile, "--dry-run"])
      assert.include(dry.out, "refs not enforced; needs --yes")
      const created = yield* km(state, ["create", profile, "--alias", "open", "--yes"])
      assert.strictEqual(created.exit, 0, created.err)
      for (const words of [["list"], ["status", "open"], ["doctor"]]) {
        assert.include((yield* km(state, words)).out, "refs not enforced", words.join(" "))
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)), 300_000)
})
