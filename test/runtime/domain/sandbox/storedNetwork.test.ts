/** A sandbox that an earlier version made is read by this one: which network it has then. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { SandboxRow } from "../../../../runtime/domain/sandbox/Sandbox.ts"

const modeOf = (spec: object) =>
  Schema.decodeSync(SandboxRow)({
    id: "sb-00000001",
    install: "km",
    profile: {
      apiVersion: "klankermaker.ai/v1",
      kind: "SandboxProfile",
      metadata: { name: "demo", prefix: "sb", description: "" },
      spec
    },
    desired: "running",
    status: "running",
    unconfined: false,
    createdAt: 1,
    inventory: []
  }).profile.spec.network.mode

describe("the network of a stored sandbox", () => {
  it("is the one it was made with, also where today's default is another", () => {
    const sourceAccess = { mode: "allowlist", github: { allowedRepos: ["my-org/api"] } }
    for (const mode of ["none", "proxy", "shared"] as const) {
      assert.strictEqual(modeOf({ network: { mode, allowedHosts: [] } }), mode)
      assert.strictEqual(modeOf({ network: { mode, allowedHosts: [] }, sourceAccess }), mode)
    }
  })

  it("is found by today's rule where it was made before there was a choice, so never the machine's", () => {
    assert.strictEqual(modeOf({}), "none")
    assert.strictEqual(
      modeOf({ sourceAccess: { mode: "allowlist", github: { allowedRepos: ["my-org/api"] } } }),
      "proxy"
    )
  })
})
