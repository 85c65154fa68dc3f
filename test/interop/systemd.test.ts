/** The units we render, judged by systemd's own tools. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { unitsOf } from "../../km-cli/systemd/Units.ts"

// `verify` wants programs that exist and a user that every system has.
const units = unitsOf({
  node: process.execPath,
  programs: {
    bridge: "/usr/lib/km/km-bridge.mjs",
    control: "/usr/lib/km/km-control.mjs",
    runtime: "/usr/lib/km/km-runtime.mjs",
    smtp: "/usr/lib/km/km-smtp.mjs"
  },
  stateDirectory: "/var/lib/km",
  user: "daemon",
  unattendedCertifier: true,
  mailIn: true,
  mailOut: true
})

const withUnit = (name: string, change: (unit: string) => string, check: (file: string) => void) => {
  const directory = mkdtempSync(path.join(tmpdir(), "km-unit-"))
  try {
    const file = path.join(directory, name)
    writeFileSync(file, change(units.find((unit) => unit.name === name)?.text ?? ""))
    check(file)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const exposure = (file: string): number => {
  const out = execFileSync("systemd-analyze", ["security", "--offline=true", file], { encoding: "utf8" })
  return Number(/Overall exposure level[^:]*: ([\d.]+)/.exec(out)?.[1])
}

describe.each(units.map(({ name }) => name))("%s", (name) => {
  it("passes systemd-analyze verify without a word", () =>
    withUnit(name, (unit) => unit, (file) => {
      const run = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" })
      assert.strictEqual(run.stderr + run.stdout, "")
      assert.strictEqual(run.status, 0)
    }))

  it("verify would have said a word about a mistake", () =>
    withUnit(name, (unit) => unit.replace("KeyringMode=private", "KeyringMod=private"), (file) => {
      const run = spawnSync("systemd-analyze", ["verify", "--man=no", file], { encoding: "utf8" })
      assert.include(run.stderr, "KeyringMod")
    }))

  it("is exposed by 3.0 at most", () => withUnit(name, (unit) => unit, (file) => assert.isAtMost(exposure(file), 3.0)))

  it("would be exposed by more without its system call filter", () =>
    withUnit(name, (unit) => unit, (whole) =>
      withUnit(
        name,
        (unit) => unit.replaceAll(/SystemCallFilter=.*\n/g, ""),
        (file) => assert.isAbove(exposure(file), exposure(whole))
      )))
})
