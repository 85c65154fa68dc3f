import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { findClaude } from "../../../../runtime/adapters/claude/findClaude.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

/** Directories `one` and `two` with a program `claude`, `none` with a file of that name that may not be run. */
const world = Effect.map(temporaryDirectory, (root) => {
  const at = (name: string) => path.join(root, name, "claude")
  for (const [name, mode] of [["one", 0o755], ["two", 0o755], ["none", 0o644]] as const) {
    fs.mkdirSync(path.dirname(at(name)))
    fs.writeFileSync(at(name), "#!/bin/sh\n", { mode })
  }
  fs.mkdirSync(path.join(root, "folder", "claude"), { recursive: true })
  const searched = (...names: ReadonlyArray<string>) => names.map((name) => path.dirname(at(name))).join(":")
  return { at, searched }
})

const found = (searched: string, beside: ReadonlyArray<string> = []) => findClaude({ given: "", searched, beside })

describe("findClaude", () => {
  it.effect("takes what KM_CLAUDE names, a path or a name", () =>
    Effect.gen(function*() {
      const { at, searched } = yield* world
      assert.strictEqual(findClaude({ given: at("two"), searched: searched("one"), beside: [] }), at("two"))
      assert.strictEqual(findClaude({ given: "./claude", searched: "", beside: [] }), path.resolve("claude"))
      assert.strictEqual(findClaude({ given: "claude", searched: searched("two"), beside: [at("one")] }), at("two"))
      // What was asked for and is not there is not replaced by another one.
      assert.strictEqual(findClaude({ given: "other", searched: searched("one"), beside: [at("one")] }), "other")
    }))

  it.effect("else the first on the PATH that can be run, else the one beside us, never one of the current directory", () =>
    Effect.gen(function*() {
      const { at, searched } = yield* world
      assert.strictEqual(found(searched("none", "folder", "two", "one"), [at("one")]), at("two"))
      assert.strictEqual(found(searched("none"), [at("none"), at("one")]), at("one"))
      assert.strictEqual(found(`.:${path.relative(process.cwd(), searched("one"))}`), "claude")
      assert.strictEqual(found(""), "claude")
    }))
})
