/** `km.config.yaml`, read by the program that people run. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { km } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const Explained = Schema.fromJsonString(Schema.Struct({
  settings: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.Unknown, from: Schema.String }))
}))

const explained = Effect.fnUntraced(function*(text: string) {
  const directory = yield* temporaryDirectory
  const file = path.join(directory, "km.config.yaml")
  fs.writeFileSync(file, text)
  return { file, ...(yield* km(directory, ["config", "explain", "--json", "--config", file])) }
})

describe("km.config.yaml", () => {
  for (
    const [what, text] of [["an empty one", ""], ["one with nothing but a comment", "# install: other\n"]] as const
  ) {
    it.live(`${what} changes nothing`, () =>
      Effect.gen(function*() {
        const { err, exit, out } = yield* explained(text)
        assert.strictEqual(exit, 0, err)
        const { settings } = yield* Schema.decodeEffect(Explained)(out)
        assert.deepInclude(settings, { key: "install", value: "km", from: "built in" })
      }))
  }

  it.live("gives its values", () =>
    Effect.gen(function*() {
      const { err, exit, file, out } = yield* explained("unconfined: true\ninstall: other\n")
      assert.strictEqual(exit, 0, err)
      const { settings } = yield* Schema.decodeEffect(Explained)(out)
      assert.deepInclude(settings, { key: "unconfined", value: "true", from: file })
      assert.deepInclude(settings, { key: "install", value: "other", from: file })
    }))

  it.live("an unknown key is named, with the nearest one", () =>
    Effect.gen(function*() {
      const { err, exit } = yield* explained("readyWithn: 90s\n")
      assert.strictEqual(exit, 2, err)
      assert.include(err, "KM-CLI-010")
      assert.include(err, "did you mean readyWithin")
    }))
})
