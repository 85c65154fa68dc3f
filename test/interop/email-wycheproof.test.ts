/**
 * Project Wycheproof's sets for Ed25519 and X25519, through the very functions that verify and open mail, bundled and
 * minified as what people run is.
 */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { build } from "esbuild"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { afterAll, beforeAll } from "vitest"
import { programSettings, withRequire } from "../../km-cli/build/bundleSettings.ts"

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

type Bundle =
  & Pick<typeof import("../../plugins/email/protocol/naclBox.ts"), "boxKeyFromPrivate" | "x25519">
  & Pick<typeof import("../../runtime/domain/identity/Ed25519.ts"), "verifierOf">

describe("Wycheproof", () => {
  const directory = mkdtempSync(path.join(tmpdir(), "km-wycheproof-"))
  let bundle: Bundle

  beforeAll(async () => {
    const entry = path.join(directory, "entry.ts")
    const of = (file: string) => JSON.stringify(path.join(root, file))
    writeFileSync(
      entry,
      `export { boxKeyFromPrivate, x25519 } from ${of("plugins/email/protocol/naclBox.ts")}\n` +
        `export { verifierOf } from ${of("runtime/domain/identity/Ed25519.ts")}\n`
    )
    await build({ ...programSettings, entryPoints: { bundle: entry }, outdir: directory, absWorkingDir: root })
    const file = path.join(directory, "bundle.mjs")
    writeFileSync(file, withRequire(readFileSync(file, "utf8")))
    bundle = await import(pathToFileURL(file).href)
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  it("Ed25519: every bad signature is refused, every good one taken", () => {
    const set = Schema.decodeSync(Ed25519Set)(load("ed25519_test.json"))
    let checked = 0
    let refused = 0
    for (const group of set.testGroups) {
      const verify = bundle.verifierOf(Buffer.from(group.publicKey.pk, "hex"))
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
        const secret = bundle.x25519(
          bundle.boxKeyFromPrivate(Buffer.from(test.private, "hex")).privateKey,
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
