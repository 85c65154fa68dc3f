/** The unit we render, judged by systemd's own tools. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { runtimeUnit, runtimeUnitName } from "../../km-cli/systemd/RuntimeUnit.ts"

const withUnit = (change: (unit: string) => string, check: (file: string) => void) => {
  const directory = mkdtempSync(path.join(tmpdir(), "km-unit-"))
  try {
    // `verify` wants programs that exist and a user that every system has.
    const file = path.join(directory, runtimeUnitName)
    writeFileSync(
      file,
      change(runtimeUnit({
        node: process.execPath,
        runtime: "/usr/lib/km/km-runtime.mjs",
        stateDirectory: "/var/lib/km",
        user: "daemon"
      }))
    )
    check(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const exposure = (file: string): number => {
  const out = execFileSync("systemd-analyze", ["security", "--offline=true", file], { encoding: "utf8" })
  return Number(/Overall exposure level[^:]*: ([\d.]+)/.exec(out)?.[1])
}

describe("km-runtime@.service", () => {
  it("passes systemd-analyze verify without a word", () =>
    withUnit((unit) => unit, (file) => {
      const run = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" })
      assert.strictEqual(run.stderr + run.stdout, "")
      assert.strictEqual(run.status, 0)
    }))

  it("verify would have said a word about a mistake", () =>
    withUnit((unit) => unit.replace("KeyringMode=private", "KeyringMod=private"), (file) => {
      const run = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" })
      assert.include(run.stderr, "KeyringMod")
    }))

  it("is exposed by 3.0 at most", () => withUnit((unit) => unit, (file) => assert.isAtMost(exposure(file), 3.0)))

  it("would be exposed by more without its system call filter", () =>
    withUnit(
      (unit) => unit.replace(/SystemCallFilter=.*\n/, ""),
      (file) => assert.isAbove(exposure(file), 3.0)
    ))
})
