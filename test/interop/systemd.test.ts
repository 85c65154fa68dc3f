/** The units we render, judged by systemd's own tools. */
import { assert, describe, it } from "@effect/vitest"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
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

/** What a process in a mount and user namespace of its own may see of another one of the same user. */
const lookInto = (privateUsers: boolean) => {
  const asOther = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const unshare = privateUsers ? ["unshare", "--user", "--map-current-user", "--"] : []
  const [file = "", ...args] = [...unshare, "sleep", "60"]
  const options = { ...asOther, stdio: "ignore" } as const
  const target = spawn(file, args, options)
  try {
    // Whoever reads the name of another program has not begun it yet.
    const begun = () => readFileSync(`/proc/${target.pid}/comm`, "utf8").trim() === "sleep"
    while (!begun()) spawnSync("true")
    const [look = "", ...at] = [...unshare, "ls", `/proc/${target.pid}/root/`]
    return spawnSync(look, at, { ...asOther, encoding: "utf8" })
  } finally {
    target.kill("SIGKILL")
  }
}

describe("processes of one user", () => {
  it("can look into each other's mounts, unless each has a user namespace of its own", () => {
    assert.strictEqual(lookInto(false).status, 0)
    const refused = lookInto(true)
    assert.notStrictEqual(refused.status, 0)
    assert.match(refused.stderr, /Permission denied/)
  })
})

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
