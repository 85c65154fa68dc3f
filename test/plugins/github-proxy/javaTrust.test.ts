import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { createHash, X509Certificate } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { certificatesOf, javaTrustStore } from "../../../plugins/github-proxy/certificates/JavaTrust.ts"
import { makeAuthority } from "../../../plugins/github-proxy/certificates/SandboxAuthority.ts"
import { proxyEnvironment, writeTrust } from "../../../plugins/github-proxy/trust.ts"
import { temporaryDirectory } from "../../support/temporaryDirectory.ts"

/** Reads a store as the format's description has it, to its last byte. */
const read = (store: Buffer) => {
  let at = 0
  const take = (length: number): Buffer => store.subarray(at, at += length)
  const number = () => take(4).readUInt32BE()
  const text = () => take(take(2).readUInt16BE()).toString("latin1")
  assert.strictEqual(number(), 0xfeedfeed)
  assert.strictEqual(number(), 2)
  const certificates = Array.from({ length: number() }, () => {
    assert.strictEqual(number(), 2)
    const alias = text()
    take(8)
    assert.strictEqual(text(), "X.509")
    return { alias, der: take(number()) }
  })
  const body = store.subarray(0, at)
  // The password's characters are two bytes each, high one first.
  const password = Buffer.from([..."changeit"].flatMap((letter) => [0, letter.charCodeAt(0)]))
  const digest = createHash("sha1").update(Buffer.concat([password, Buffer.from("Mighty Aphrodite"), body])).digest()
  assert.deepStrictEqual(take(20), digest)
  assert.strictEqual(at, store.length)
  return certificates
}

describe("Java's store", () => {
  it.prop("has every certificate once, by a name of its own, and its digest", [Schema.Array(Schema.Uint8Array)], ([
    certificates
  ]) => {
    const found = read(Buffer.from(javaTrustStore(certificates, 1_800_000_000_000)))
    assert.deepStrictEqual(found.map(({ der }) => [...der]), certificates.map((der) => [...der]))
    assert.strictEqual(new Set(found.map(({ alias }) => alias)).size, certificates.length)
  })

  it.effect("holds what the bundle holds, the sandbox's own authority last", () =>
    Effect.gen(function*() {
      const directory = Path.join(yield* temporaryDirectory, "proxy")
      const { certificate } = makeAuthority(["github.com"], () => Date.now())
      const { bundle, javaStore } = writeTrust(directory, certificate, Date.now())
      const found = read(Fs.readFileSync(javaStore))
      const inBundle = certificatesOf(Fs.readFileSync(bundle, "utf8"))
      assert.isAbove(found.length, 1)
      assert.deepStrictEqual(found.map(({ der }) => der), inBundle)
      assert.strictEqual(
        new X509Certificate(found.at(-1)?.der ?? "").fingerprint256,
        new X509Certificate(certificate).fingerprint256
      )
      for (const file of [bundle, javaStore]) assert.strictEqual(Fs.statSync(file).mode & 0o777, 0o600)
    }))

  it("is named to Java with the proxy, but for one that asks for a password, which Java cannot be told", () => {
    const open = proxyEnvironment("http://127.0.0.1:4703", "/run/km/certificates.jks")["JAVA_TOOL_OPTIONS"] ?? ""
    assert.deepStrictEqual(open.split(" "), [
      "-Djavax.net.ssl.trustStore=/run/km/certificates.jks",
      "-Djavax.net.ssl.trustStoreType=JKS",
      "-Dhttp.proxyHost=127.0.0.1",
      "-Dhttp.proxyPort=4703",
      "-Dhttps.proxyHost=127.0.0.1",
      "-Dhttps.proxyPort=4703",
      "-Dhttp.nonProxyHosts=localhost|127.0.0.1"
    ])
    const closed = proxyEnvironment("http://km:word@127.0.0.1:40000", "/a place/x.jks")["JAVA_TOOL_OPTIONS"] ?? ""
    assert.notInclude(closed, "proxyHost")
    assert.notInclude(closed, "word")
    assert.include(closed, "\"-Djavax.net.ssl.trustStore=/a place/x.jks\"")
  })
})
