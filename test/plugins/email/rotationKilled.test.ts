/** `km identity rotate` is killed while it works; the running sandbox writes mail that is believed, before it is run again. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { km, kmStarted } from "../../support/KmProcess.ts"
import { mailProgram } from "../../support/mailPrograms.ts"
import { startStack } from "../../support/Stack.ts"

const decodeMails = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Array(Schema.Struct({ status: Schema.String, body: Schema.String })))
)
const Rotated = Schema.fromJsonString(Schema.Struct({
  rotated: Schema.Array(Schema.Struct({ keyId: Schema.String, completed: Schema.Boolean }))
}))
const decodeRotated = Schema.decodeUnknownSync(Rotated)

describe("km identity rotate under kill -9", () => {
  it.live("leaves keys that work, and the next one completes it", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const ada = (yield* stack.sandbox()).row.id
      const bob = (yield* stack.sandbox()).row.id
      const paths = statePaths(stack.state)
      const database = new DatabaseSync(paths.database, { timeout: 5_000 })
      yield* Effect.addFinalizer(() => Effect.sync(() => database.close()))
      const count = (table: "identities" | "revocations"): unknown =>
        database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"]
      const secret = (name: string) => path.join(paths.secrets, "sandbox", ada, name)
      const versions = () => fs.readdirSync(secret("mail-signing-key")).length

      const killed = Effect.fnUntraced(function*(reached: () => boolean) {
        const { child, ended } = yield* kmStarted(stack.state, ["identity", "rotate", ada, "--purpose", "mail"], {})
        while (!reached() && child.exitCode === null) yield* Effect.sleep("1 millis")
        child.kill("SIGKILL")
        yield* Effect.promise(() => ended)
      }, Effect.scoped)
      let n = 0
      const works = Effect.fnUntraced(function*(where: string) {
        n += 1
        const body = `${n} ${where}`
        const sent = yield* mailProgram(
          paths.sandbox(ada).directory,
          "km-send",
          ["--to", bob, "--subject", "s"],
          body
        )
        assert.strictEqual(sent.exit, 0, `${where}: ${sent.err}`)
        const got = yield* mailProgram(
          paths.sandbox(bob).directory,
          "km-recv",
          ["--json", "--wait", "300", "--mark-read"]
        )
        assert.deepStrictEqual(decodeMails(got.out.toString()), [{ status: "verified", body }], where)
        const verified = yield* km(stack.state, ["identity", "verify"])
        assert.strictEqual(verified.exit, 0, `${where}: ${verified.err}`)
      })

      const before = count("identities")
      yield* killed(() => fs.existsSync(secret("next/mail-signing-key")))
      yield* works("when its key was made")
      // Each waits until the one that was killed is given up.
      yield* killed(() => count("identities") !== before)
      yield* works("when its key was certified")
      const made = versions()
      const ends = count("revocations")
      yield* killed(() => versions() > made || count("revocations") !== ends)
      yield* works("when its key was current")
      const whole = yield* km(stack.state, ["identity", "rotate", ada, "--purpose", "mail", "--json"])
      assert.strictEqual(whole.exit, 0, whole.err)
      assert.isFalse(fs.existsSync(secret("next/mail-signing-key")))
      yield* works("when it was whole")
      const shown = yield* km(stack.state, ["identity", "show", ada])
      const valid = shown.out.split("\n").filter((line) => / mail +[0-9a-f]{16} +valid /.test(line))
      assert.strictEqual(valid.length, 1, shown.out)
      assert.include(valid[0], decodeRotated(whole.out).rotated[0]?.keyId ?? "none")
    }))
})
