import { assert, describe, it } from "@effect/vitest"
import { runtimeUnit, unusableOptions } from "../../../km-cli/systemd/RuntimeUnit.ts"

const options = {
  node: "/usr/bin/node",
  runtime: "/usr/lib/km/km-runtime.mjs",
  stateDirectory: "/var/lib/km",
  user: "km"
}

describe("RuntimeUnit", () => {
  it("leaves open what bubblewrap and V8 need", () => {
    const unit = runtimeUnit(options)
    assert.include(unit, "RestrictNamespaces=user mnt pid ipc uts net\n")
    assert.include(unit, "SystemCallFilter=@system-service @mount\n")
    assert.include(unit, "MemoryDenyWriteExecute=no\n")
    for (const closing of ["ProtectProc=", "ProtectKernelTunables=", "ProtectKernelLogs=", "PrivateUsers="]) {
      assert.notInclude(unit, closing)
    }
  })

  it("refuses what a unit file would read as something else", () => {
    assert.deepStrictEqual(unusableOptions(options), [])
    assert.deepStrictEqual(unusableOptions({ ...options, runtime: "/opt/my apps/km.mjs" }), ["runtime"])
    assert.deepStrictEqual(unusableOptions({ ...options, stateDirectory: "/var/%h" }), ["stateDirectory"])
    assert.deepStrictEqual(unusableOptions({ ...options, node: "node\nExecStartPre=/bin/sh" }), ["node"])
    assert.deepStrictEqual(unusableOptions({ ...options, user: "km km" }), ["user"])
  })
})
