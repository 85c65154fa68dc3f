/** The package on the oldest Node that it says it takes; `make test-interop` brings that one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import { fileURLToPath } from "node:url"
import { runsWhole } from "../support/tarball.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const node = `${root}node_modules/.km-oldest/node`

describe("the package on the oldest Node that it takes", () => {
  it("is tried with that one", () => {
    const { engines }: { engines: { node: string } } = JSON.parse(fs.readFileSync(`${root}package.json`, "utf8"))
    assert.strictEqual(
      `>=${execFileSync(node, ["--version"], { encoding: "utf8" }).trim().slice(1)}`,
      `${engines.node}.0`
    )
  })

  it.live("runs in an empty directory, installed without a registry", () => Effect.asVoid(runsWhole(node)))
})
