import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import { Capability } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import {
  appPermissions,
  drift,
  isGranted,
  readPlan,
  writePlan,
  writesAnything
} from "../../../../runtime/domain/github/Permissions.ts"

const everything = Object.fromEntries(
  [
    "actions",
    "administration",
    "checks",
    "contents",
    "deployments",
    "environments",
    "issues",
    "members",
    "metadata",
    "organization_administration",
    "organization_secrets",
    "pull_requests",
    "secrets",
    "statuses",
    "workflows"
  ].map((name) => [name, "admin"])
)

const ours = new Set([
  "actions",
  "checks",
  "contents",
  "deployments",
  "issues",
  "metadata",
  "pull_requests",
  "statuses"
])

const writes = (pushes: boolean, ...capabilities: ReadonlyArray<Capability>) =>
  writePlan({ pushes, capabilities }, everything).permissions

const sample = <S extends Schema.Top>(schema: S) => Arbitrary.schema(schema)

describe("permissions of tokens", () => {
  it("are the repository's own few, whatever the installation has", () => {
    const all = [...Capability.literals]
    const plans = [
      readPlan(everything).permissions,
      writePlan({ pushes: true, capabilities: all }, everything).permissions,
      appPermissions(all)
    ]
    for (const permissions of plans) {
      assert.deepStrictEqual(Object.keys(permissions).filter((name) => !ours.has(name)), [])
      assert.deepStrictEqual(Object.values(permissions).filter((level) => level !== "read" && level !== "write"), [])
    }
    assert.deepStrictEqual(Object.values(readPlan(everything).permissions).filter((level) => level !== "read"), [])
  })

  it("write to contents for pushes, and else by capability only", () => {
    assert.deepStrictEqual(writes(true), { metadata: "read", contents: "write" })
    assert.deepStrictEqual(writes(false, "issues"), { metadata: "read", issues: "write" })
    const others = Capability.literals.filter((one) => one !== "actions")
    assert.notProperty(writes(true, ...others), "actions")
    assert.strictEqual(writes(true, "actions")["actions"], "write")
    assert.isFalse(writesAnything({ pushes: false, capabilities: [] }))
    assert.isTrue(writesAnything({ pushes: false, capabilities: ["issues"] }))
  })

  it("never go beyond what the installation has, and name what it lacks", () => {
    const granted = { metadata: "read", contents: "read", issues: "write" }
    assert.deepStrictEqual(writePlan({ pushes: true, capabilities: ["pulls", "issues"] }, granted), {
      permissions: { metadata: "read", issues: "write" },
      lacking: ["contents: write", "pull_requests: write"]
    })
    assert.strictEqual(readPlan({}).lacking[0], "contents: read")
  })

  it.prop("a plan asks for nothing that is not granted", {
    granted: sample(
      Schema.Record(
        Schema.Literals([...ours, "secrets", "constructor"]),
        Schema.Literals(["read", "write", "admin", "none"])
      )
    ),
    capabilities: sample(Schema.Array(Capability))
  }, ({ capabilities, granted }) => {
    for (const { permissions } of [readPlan(granted), writePlan({ pushes: true, capabilities }, granted)]) {
      const { metadata, ...rest } = permissions
      assert.strictEqual(metadata, "read")
      assert.deepStrictEqual(Object.entries(rest).filter(([name, level]) => !isGranted(granted, name, level)), [])
    }
  })

  it("drift when the App asks for more than was accepted", () => {
    assert.deepStrictEqual(drift({ contents: "write", actions: "read" }, { contents: "read", actions: "write" }), [
      "contents: write"
    ])
  })
})
