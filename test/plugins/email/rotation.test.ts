/** Keys are replaced and taken back by `km identity` while real runtimes write and read mail. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { DatabaseSync } from "node:sqlite"
import { decodeManifest } from "../../../plugins/email/protocol/Manifest.ts"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { km } from "../../support/KmProcess.ts"
import { mailProgram } from "../../support/mailPrograms.ts"
import { mailUnderWay } from "../../support/mailUnderWay.ts"
import { startStack } from "../../support/Stack.ts"

const Rotated = Schema.fromJsonString(Schema.Struct({
  rotated: Schema.Array(Schema.Struct({
    purpose: Schema.String,
    keyId: Schema.String,
    ended: Schema.Array(Schema.Struct({ keyId: Schema.String }))
  }))
}))
const decodeRotated = Schema.decodeUnknownSync(Rotated)
const Mails = Schema.fromJsonString(
  Schema.Array(Schema.Struct({ status: Schema.String, body: Schema.String, encrypted: Schema.Boolean }))
)
const decodeMails = Schema.decodeUnknownSync(Mails)

const manifestIn = (raw: Uint8Array) => {
  const value = /^X-KM-Manifest:((?:.|\r\n[ \t])*)/mi.exec(Buffer.from(raw).toString("latin1"))?.[1] ?? ""
  return decodeManifest(value.replaceAll(/\s/g, ""))?.manifest
}

describe("km identity rotate and revoke", () => {
  it.live(
    "mail of before still verifies and opens, mail of after is signed anew at once",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const ada = (yield* stack.sandbox()).row.id
        const bob = (yield* stack.sandbox()).row.id
        const paths = statePaths(stack.state)
        const database = new DatabaseSync(paths.database, { timeout: 5_000 })
        const send = (body: string, ...args: ReadonlyArray<string>) =>
          Effect.tap(
            mailProgram(paths.sandbox(ada).directory, "km-send", ["--to", bob, "--subject", "s", ...args], body),
            (sent) => Effect.sync(() => assert.strictEqual(sent.exit, 0, sent.err))
          )
        const inbox = Effect.map(
          mailProgram(paths.sandbox(bob).directory, "km-recv", ["--json", "--wait", "300", "--mark-read"]),
          ({ err, exit, out }) => {
            assert.strictEqual(exit, 0, err)
            return decodeMails(out.toString())
          }
        )
        const { arrives, judged, newest } = mailUnderWay(database, bob)
        const identity = (...args: ReadonlyArray<string>) =>
          Effect.tap(
            km(stack.state, ["identity", ...args]),
            (ran) => Effect.sync(() => assert.strictEqual(ran.exit, 0, ran.err))
          )

        yield* send("before", "--encrypt")
        assert.deepInclude((yield* inbox)[0], { status: "verified", body: "before", encrypted: true })
        const before = yield* newest
        const oldKey = manifestIn(before)?.key ?? ""

        const adas = decodeRotated((yield* identity("rotate", ada, "--json")).out)
        const bobs = decodeRotated((yield* identity("rotate", bob, "--purpose", "mail-box", "--json")).out)
        assert.deepStrictEqual(adas.rotated.map(({ purpose }) => purpose), ["mail", "mail-box", "bridge"])
        assert.deepStrictEqual(adas.rotated[0]?.ended.map(({ keyId }) => keyId), [oldKey])

        // The same runtime, at once: signed with the new key, encrypted for the new key.
        yield* send("after", "--encrypt")
        assert.deepInclude((yield* inbox)[0], { status: "verified", body: "after", encrypted: true })
        const manifest = manifestIn(yield* newest)
        assert.strictEqual(manifest?.key, adas.rotated[0]?.keyId)
        assert.strictEqual(manifest?.encryption?.key, adas.rotated[1]?.keyId)
        assert.strictEqual(manifest?.encryption?.recipients[0]?.key, bobs.rotated[0]?.keyId)

        // What was under way: the old signature, the old box.
        // (The same words again are held back as a repetition; that is after their signature was judged.)
        arrives("late", before)
        assert.match(yield* judged("late"), /"status":"verified","reason":"repeated".*"encrypted":true,"body":"before"/)
        assert.match((yield* identity("verify")).out, /4 revocations are as the certifier signed them/)

        // Then the old key is taken back.
        yield* identity("revoke", ada, "--key", oldKey)
        arrives("later", before)
        assert.match(yield* judged("later"), /"status":"revoked","reason":"key-revoked"/)
        yield* send("still")
        assert.deepInclude((yield* inbox)[0], { status: "verified", body: "still" })

        // The current key taken back: its sender is told, and sends nothing.
        yield* identity("revoke", ada, "--key", adas.rotated[0]?.keyId ?? "")
        const refused = yield* mailProgram(
          paths.sandbox(ada).directory,
          "km-send",
          ["--to", bob, "--subject", "s"],
          "no"
        )
        assert.strictEqual(refused.exit, 4)
        assert.match(refused.err, /KM-EML-121.*\n?.*/)
        yield* identity("rotate", ada, "--purpose", "mail")
        yield* send("again")
        assert.deepInclude((yield* inbox)[0], { status: "verified", body: "again" })

        // Two at once: the second waits for the first, and what comes out works.
        yield* Effect.all([identity("rotate", ada), identity("rotate", ada), send("meanwhile")], { concurrency: 3 })
        yield* send("at last")
        const last = yield* Effect.gen(function*() {
          const seen: Array<string> = []
          while (seen.length < 2) for (const { body, status } of yield* inbox) seen.push(`${status} ${body}`)
          return seen
        })
        assert.sameMembers(last, ["verified meanwhile", "verified at last"])
        yield* identity("verify")

        // The bridge takes the operator's new key, and no longer the old one.
        const operators = decodeRotated((yield* identity("rotate", "operator", "--purpose", "bridge", "--json")).out)
        yield* identity("revoke", "operator", "--key", operators.rotated[0]?.ended[0]?.keyId ?? "")
        const destroyed = yield* km(stack.state, ["destroy", ada, "--yes"])
        assert.strictEqual(destroyed.exit, 0, destroyed.err)
        database.close()
      })
  )
})
