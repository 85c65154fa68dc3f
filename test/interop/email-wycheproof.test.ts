/** Project Wycheproof's sets for Ed25519 and X25519, through the very functions that verify and open mail. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { boxKeyFromPrivate, x25519 } from "../../plugins/email/protocol/naclBox.ts"
import { verifierOf } from "../../runtime/domain/Ed25519.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = path.resolve(root, process.env["KM_WYCHEPROOF"] ?? "../shared/vectors/wycheproof")

const load = (file: string): string => {
  const found = path.join(folder, file)
  if (!existsSync(found)) {
    throw new Error(
      `${found} is missing: fetch testvectors_v1/${file} of Project Wycheproof, and name its folder in KM_WYCHEPROOF`
    )
  }
  return readFileSync(found, "utf8")
}

const Result = Schema.Literals(["valid", "acceptable", "invalid"])
const Ed25519Set = Schema.fromJsonString(Schema.Struct({
  testGroups: Schema.Array(Schema.Struct({
    publicKey: Schema.Struct({ pk: Schema.String }),
    tests: Schema.Array(Schema.Struct({
      tcId: Schema.Int,
      comment: Schema.String,
      msg: Schema.String,
      sig: Schema.String,
      result: Result
    }))
  }))
}))
const X25519Set = Schema.fromJsonString(Schema.Struct({
  testGroups: Schema.Array(Schema.Struct({
    tests: Schema.Array(Schema.Struct({
      tcId: Schema.Int,
      comment: Schema.String,
      flags: Schema.Array(Schema.String),
      public: Schema.String,
      private: Schema.String,
      shared: Schema.String,
      result: Result
    }))
  }))
}))

describe("Wycheproof", () => {
  it("Ed25519: every bad signature is refused, every good one taken", () => {
    const set = Schema.decodeSync(Ed25519Set)(load("ed25519_test.json"))
    let checked = 0
    let refused = 0
    for (const group of set.testGroups) {
      const verify = verifierOf(Buffer.from(group.publicKey.pk, "hex"))
      for (const test of group.tests) {
        const taken = verify(Buffer.from(test.msg, "hex"), Buffer.from(test.sig, "hex").toString("base64"))
        assert.strictEqual(taken, test.result === "valid", `case ${test.tcId}: ${test.comment}`)
        checked++
        if (!taken) refused++
      }
    }
    assert.isAbove(checked, 100)
    assert.isAbove(refused, 50)
  })

  it("X25519: the right secret, or none where anybody would know it", () => {
    const set = Schema.decodeSync(X25519Set)(load("x25519_test.json"))
    let checked = 0
    let refused = 0
    for (const group of set.testGroups) {
      for (const test of group.tests) {
        const secret = x25519(
          boxKeyFromPrivate(Buffer.from(test.private, "hex")).privateKey,
          Buffer.from(test.public, "hex")
        )
        const zero = /^0+$/.test(test.shared)
        assert.strictEqual(
          secret === undefined ? "" : Buffer.from(secret).toString("hex"),
          zero ? "" : test.shared,
          `case ${test.tcId}: ${test.comment}`
        )
        checked++
        if (zero) refused++
      }
    }
    assert.isAbove(checked, 500)
    assert.isAbove(refused, 20)
  })
})
