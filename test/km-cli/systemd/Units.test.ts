import { assert, describe, it } from "@effect/vitest"
import { type UnitOptions, unitsOf, unusableOptions } from "../../../km-cli/systemd/Units.ts"

const options: UnitOptions = {
  node: "/usr/bin/node",
  programs: {
    bridge: "/usr/lib/km/km-bridge.mjs",
    control: "/usr/lib/km/km-control.mjs",
    runtime: "/usr/lib/km/km-runtime.mjs",
    smtp: "/usr/lib/km/km-smtp.mjs"
  },
  stateDirectory: "/var/lib/km",
  user: "km",
  unattendedCertifier: false,
  mailIn: true,
  mailOut: true
}

const unitOf = (name: string, changes: Partial<UnitOptions> = {}): string =>
  unitsOf({ ...options, ...changes }).find((unit) => unit.name === name)?.text ?? ""

/** What is mounted into the empty `secrets/`, with how. */
const secretsIn = (name: string, changes: Partial<UnitOptions> = {}) => {
  const unit = unitOf(name, changes)
  assert.include(unit, "\nTemporaryFileSystem=/var/lib/km/secrets:ro\n", name)
  return [...unit.matchAll(/^(BindPaths|BindReadOnlyPaths)=-\/var\/lib\/km\/secrets\/(.*)$/gm)].map(([, how, path]) =>
    `${path} ${how === "BindPaths" ? "rw" : "ro"}`
  )
}

describe("systemd units", () => {
  it("are those of what the install has", () => {
    const all = ["km-bridge.service", "km-control.service", "km-runtime@.service"]
    const mail = ["km-mail-in.service", "km-mail-out.service"]
    assert.deepStrictEqual(unitsOf(options).map(({ name }) => name), [...all, ...mail])
    assert.deepStrictEqual(
      unitsOf({ ...options, mailIn: false, mailOut: false }).map(({ name }) => name),
      all
    )
  })

  it("start the bridge with a small young generation", () => {
    const [bridge] = unitsOf(options)
    assert.match(bridge?.text ?? "", /^ExecStart=\S+ --max-semi-space-size=4 \/usr\/lib\/km\/km-bridge\.mjs$/m)
  })

  it("show each process its own secrets, and an empty directory otherwise", () => {
    assert.deepStrictEqual(secretsIn("km-bridge.service"), [
      "slack ro",
      "bridge/directory-pin ro",
      "bridge/link-key ro"
    ])
    assert.deepStrictEqual(secretsIn("km-runtime@.service"), ["sandbox/%i ro", "model ro"])
    assert.deepStrictEqual(secretsIn("km-mail-in.service"), [])
    assert.deepStrictEqual(secretsIn("km-mail-out.service"), ["mail/relay-password ro"])
    // Files cannot be deleted without their directory: what of it is read is the layer's to refuse.
    assert.deepStrictEqual(secretsIn("km-control.service"), ["sandbox rw", "bridge/directory-pin ro", "github ro"])
    assert.deepStrictEqual(secretsIn("km-control.service", { unattendedCertifier: true }), [
      "sandbox rw",
      "certifier ro",
      "bridge/directory-pin ro",
      "github ro"
    ])
  })

  it("give the control plane the certifier's key only where the install says so", () => {
    assert.match(unitOf("km-control.service"), /km-control\.mjs\n/)
    assert.match(
      unitOf("km-control.service", { unattendedCertifier: true }),
      /km-control\.mjs --unattended-certifier\n/
    )
  })

  it("leave open what bubblewrap and V8 need", () => {
    const unit = unitOf("km-runtime@.service")
    assert.include(unit, "RestrictNamespaces=user mnt pid ipc uts net\n")
    assert.include(unit, "SystemCallFilter=@system-service @mount\n")
    assert.include(unit, "MemoryDenyWriteExecute=no\n")
    for (const closing of ["ProtectProc=", "ProtectKernelTunables=", "ProtectKernelLogs="]) {
      assert.notInclude(unit, closing)
    }
  })

  it("keep each process, of one user as they are, from looking into another one's mounts", () => {
    for (const { name, text } of unitsOf(options)) {
      assert.include(text, "\nPrivateUsers=yes\n", name)
      assert.include(text, "\nPrivateMounts=yes\n", name)
      assert.include(text, "\nCapabilityBoundingSet=\n", name)
    }
  })

  it("refuse what a unit file would read as something else", () => {
    const unusable = (changes: Partial<UnitOptions>) =>
      unusableOptions({ ...options, ...changes }).map(([what]) => what)
    assert.deepStrictEqual(unusable({}), [])
    assert.deepStrictEqual(unusable({ programs: { ...options.programs, smtp: "/opt/my apps/km.mjs" } }), ["smtp"])
    assert.deepStrictEqual(unusable({ stateDirectory: "/var/%h" }), ["stateDirectory"])
    assert.deepStrictEqual(unusable({ node: "node\nExecStartPre=/bin/sh" }), ["node"])
    assert.deepStrictEqual(unusable({ user: "km km" }), ["user"])
  })
})
