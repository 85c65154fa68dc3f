/**
 * Whoever can write the engine's tables, but has no key of ours: swaps keys, removes revocations and puts old
 * certificates back, under running runtimes. Nothing of it is ever shown as verified, and the operator is told which.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Option, Redacted, Schema } from "effect"
import { DatabaseSync } from "node:sqlite"
import { writeV2 } from "../../../plugins/email/protocol/writeMail.ts"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { certify } from "../../../runtime/domain/identity/Certificate.ts"
import { generateSeed, signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import {
  mailCertificate,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../../runtime/domain/identity/MailIdentity.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { layer as fileSecrets } from "../../../runtime/engines/embedded/FileSecrets.ts"
import { Mailbox, Mailer, wholeOf } from "../../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { km } from "../../support/KmProcess.ts"
import { mailProgram } from "../../support/mailPrograms.ts"
import { mailState } from "../../support/MailState.ts"
import { mailUnderWay } from "../../support/mailUnderWay.ts"
import { startStack } from "../../support/Stack.ts"

const install = InstallName.make("km")
const Certified = Schema.Struct({ certificate: Schema.String, signature: Schema.String })
const decodeCertified = Schema.decodeUnknownSync(Certified)
const Rows = Schema.Array(Schema.Struct({ number: Schema.Int, revocation: Schema.String, signature: Schema.String }))
const decodeRows = Schema.decodeUnknownSync(Rows)

const now = () => Math.floor(Date.now() / 1_000)

const scene = Effect.gen(function*() {
  const stack = yield* startStack()
  const ada = (yield* stack.sandbox()).row.id
  const bob = (yield* stack.sandbox()).row.id
  const paths = statePaths(stack.state)
  const database = new DatabaseSync(paths.database, { timeout: 5_000 })
  yield* Effect.addFinalizer(() => Effect.sync(() => database.close()))
  const rowOf = (owner: SandboxId) =>
    decodeCertified(
      database.prepare("SELECT certificate, signature FROM identities WHERE subject = ? AND purpose = 'mail' LIMIT 1")
        .get(owner)
    )
  const putRow = (owner: SandboxId, row: typeof Certified.Type, keyId?: string) =>
    database.prepare(
      "UPDATE identities SET certificate = ?, signature = ?, retired_at = NULL " +
        "WHERE subject = ? AND purpose = 'mail' AND (key_id = ? OR ? = '')"
    ).run(row.certificate, row.signature, owner, keyId ?? "", keyId ?? "")
  const identity = (...args: ReadonlyArray<string>) => km(stack.state, ["identity", ...args])
  const send = (from: SandboxId, to: SandboxId, body: string) =>
    mailProgram(paths.sandbox(from).directory, "km-send", ["--to", to, "--subject", "s"], body)
  const keyOf = Effect.fnUntraced(function*(owner: SandboxId) {
    const text = yield* Effect.flatMap(Secrets, (secrets) => secrets.get(mailSigningKeyPath(owner))).pipe(
      Effect.provide(fileSecrets(paths.secrets))
    )
    const key = text._tag === "Some" ? mailSigningKeyFromText(Redacted.value(text.value)) : undefined
    return key ?? (yield* Effect.die("no key"))
  })
  let { runtime } = stack
  /** The runtime begins again, so that it does not go by the copy of the directory that it read before. */
  const reread = Effect.gen(function*() {
    yield* runtime.kill9
    runtime = yield* stack.startRuntime
  })
  return {
    stack,
    reread,
    ada,
    bob,
    paths,
    database,
    rowOf,
    putRow,
    identity,
    send,
    keyOf,
    ...mailUnderWay(database, bob)
  }
})

describe("whoever writes the directory", () => {
  it.live("and swaps or forges a key, proves nothing", () =>
    Effect.gen(function*() {
      const { ada, arrives, bob, identity, judged, newest, putRow, reread, rowOf, send } = yield* scene
      assert.strictEqual((yield* send(ada, bob, "true")).exit, 0)
      const held = yield* newest
      const good = rowOf(ada)
      const thief = signingKeyFromSeed(generateSeed())
      const forged = certify(
        thief,
        mailCertificate({
          install,
          subject: ada,
          addresses: [`${ada}@km.invalid`],
          purpose: "mail",
          publicKey: thief.publicKey,
          madeAt: Date.now(),
          now: Date.now()
        })
      )
      const cases = [["swapped", rowOf(bob)], ["forged", forged], ["renamed", {
        ...rowOf(bob),
        certificate: rowOf(bob).certificate.replaceAll(bob, ada)
      }]] as const
      for (const [name, row] of cases) {
        putRow(ada, row)
        yield* reread
        arrives(name, held)
        assert.match(yield* judged(name), /"status":"unknown-sender","reason":"sender-unknown"/, name)
        const verified = yield* identity("verify")
        assert.strictEqual(verified.exit, 1, name)
        assert.match(verified.err, /KM-EML-030: a key was swapped or forged/, name)
        // What the forger signs with the key that it wrote there.
        const [mail] = yield* writeV2(
          { from: { address: `${ada}@km.invalid` }, to: [`${bob}@km.invalid`], subject: "s", text: name },
          { install, sender: ada, key: thief },
          { createdSeconds: Math.floor(Date.now() / 1_000), encryption: "off", boxOf: () => undefined }
        )
        arrives(`by ${name}`, mail?.raw ?? new Uint8Array())
        assert.match(yield* judged(`by ${name}`), /"status":"unknown-sender"/, name)
        // The sender is told that it is not believed, and sends nothing.
        assert.match((yield* send(ada, bob, "no")).err, /KM-EML-121/, name)
        putRow(ada, good)
      }
      yield* reread
      arrives("good again", held)
      assert.match(yield* judged("good again"), /"status":"verified"/)
      assert.strictEqual((yield* identity("verify")).exit, 0)
    }))

  it.live(
    "and removes a revocation, stops mail, also after a restart and for who is made later",
    () =>
      Effect.gen(function*() {
        const { ada, arrives, bob, database, identity, judged, newest, reread, send, stack, stateOf } = yield* scene
        assert.strictEqual((yield* send(ada, bob, "true")).exit, 0)
        const held = yield* newest
        for (const _ of [1, 2, 3]) {
          const rotated = yield* identity("rotate", ada, "--purpose", "mail")
          assert.strictEqual(rotated.exit, 0, rotated.err)
        }
        const all = decodeRows(database.prepare("SELECT number, revocation, signature FROM revocations").all())
        assert.strictEqual(all.length, 3)
        const restore = () => {
          for (const { number, revocation, signature } of all) {
            database.prepare("INSERT OR IGNORE INTO revocations (number, revocation, signature) VALUES (?, ?, ?)")
              .run(number, revocation, signature)
          }
        }
        const refuses = Effect.fnUntraced(function*(who: SandboxId, where: string) {
          const sent = yield* send(who, bob, "no")
          assert.notStrictEqual(sent.exit, 0, where)
          assert.match(sent.err, /KM-EML-030/, where)
        })
        const removals = [
          ["middle", "DELETE FROM revocations WHERE number = 2", /a revocation was removed\n.*revocation 2 is missing/],
          [
            "last",
            "DELETE FROM revocations WHERE number = 3",
            /a revocation was removed\n.*revocation 3 was there before/
          ],
          ["all", "DELETE FROM revocations", /a revocation was removed\n.*revocation 3 was there before/],
          [
            "changed",
            "UPDATE revocations SET revocation = replace(revocation, 'replaced by', 'reinstated') WHERE number = 2",
            /a revocation was changed or forged/
          ]
        ] as const
        for (const [name, sql, words] of removals) {
          database.exec(sql)
          const verified = yield* identity("verify")
          assert.strictEqual(verified.exit, 1, name)
          assert.match(verified.err, words, name)
          yield* reread
          yield* refuses(ada, name)
          if (name === "changed") database.exec("DELETE FROM revocations WHERE number = 2")
          restore()
        }
        // A runtime that was not there, and one that never saw the highest number.
        database.exec("DELETE FROM revocations")
        arrives("held", held)
        yield* reread
        yield* refuses(ada, "restarted")
        const eve = (yield* stack.sandbox()).row.id
        yield* refuses(eve, "made later")
        assert.strictEqual(stateOf("held"), "arrived")
        restore()
        // Nothing was lost meanwhile, and nothing was believed that was not.
        assert.match(yield* judged("held"), /"status":"verified"/)
        assert.strictEqual((yield* send(eve, bob, "hello")).exit, 0)
      })
  )

  it.live("and puts an old certificate back, gives no old key a longer life", () =>
    Effect.gen(function*() {
      const { ada, arrives, bob, database, identity, judged, keyOf, putRow, rowOf, stack } = yield* scene
      const signedBy = Effect.fnUntraced(function*(
        sender: SandboxId,
        key: ReturnType<typeof signingKeyFromSeed>,
        from: string,
        createdSeconds: number,
        text: string
      ) {
        const [mail] = yield* writeV2(
          { from: { address: from }, to: [`${bob}@km.invalid`], subject: "s", text },
          { install, sender, key },
          { createdSeconds, encryption: "off", boxOf: () => undefined }
        )
        return mail?.raw ?? new Uint8Array()
      })

      // After a rotation.
      const old = rowOf(ada)
      const oldKey = yield* keyOf(ada)
      assert.strictEqual((yield* identity("rotate", ada, "--purpose", "mail")).exit, 0)
      putRow(ada, old, oldKey.keyId)
      const verified = yield* identity("verify")
      assert.strictEqual(verified.exit, 1)
      assert.match(
        verified.err,
        /KM-EML-030: an old certificate was put back\n.*says until .*, but the certifier ended/
      )

      // After a revocation.
      assert.strictEqual((yield* identity("revoke", ada, "--key", oldKey.keyId)).exit, 0)
      putRow(ada, old, oldKey.keyId)
      arrives("revoked", yield* signedBy(ada, oldKey, `${ada}@km.invalid`, now(), "by a thief"))
      assert.match(yield* judged("revoked"), /"status":"revoked"/)

      // After the sandbox is gone and another has its alias.
      const alias = "deploy"
      const first = (yield* stack.sandbox(undefined, alias)).row.id
      const firstKey = yield* keyOf(first)
      const firstRow = rowOf(first)
      const inFlight = yield* signedBy(first, firstKey, "deploy@km.invalid", now() - 1, "while it was there")
      yield* stack.destroy(first)
      const second = (yield* stack.sandbox(undefined, alias)).row.id
      const taken = now()
      putRow(first, firstRow)
      assert.strictEqual(
        database.prepare("SELECT count(*) AS n FROM identities WHERE subject = ?").get(first)?.["n"],
        3
      )
      arrives("late", yield* signedBy(first, firstKey, "deploy@km.invalid", taken, "as the new one"))
      assert.match(yield* judged("late"), /"status":"expired","reason":"key-not-valid-then"/)
      arrives("in flight", inFlight)
      assert.match(yield* judged("in flight"), /"status":"verified".*while it was there/)
      arrives("new", yield* signedBy(second, yield* keyOf(second), "deploy@km.invalid", taken, "truly"))
      assert.match(yield* judged("new"), /"status":"verified".*truly/)
    }))

  it.live("and gives a sandbox another's address, neither reads nor gets mail that is not its own", () =>
    Effect.gen(function*() {
      const ada = SandboxId.make("sb-aaaa1111")
      const bob = SandboxId.make("sb-bbbb2222")
      const eve = SandboxId.make("sb-eeee3333")
      const { ports, accountOf } = yield* mailState({ [ada]: "ada", [bob]: "bob", [eve]: "eve" })
      const from = yield* accountOf(ada)
      const to = yield* accountOf(bob)
      const other = yield* accountOf(eve)
      yield* from.send({ ...from.letter, to: ["bob"], subject: "s", body: "for Bob" })
      const mailbox = Context.get(ports, Mailbox)
      const sandboxes = Context.get(ports, Sandboxes)
      const filed = yield* to.judge
      assert.deepInclude(filed?.judged, { status: "verified", body: "for Bob" })
      const raw = yield* wholeOf(Option.getOrThrow(yield* mailbox.raw(bob, filed?.delivery ?? "")))

      yield* sandboxes.update(eve, { mailAddresses: [`${eve}@km.invalid`, `${bob}@km.invalid`, "bob@km.invalid"] })
      yield* sandboxes.update(bob, { mailAddresses: [`${bob}@km.invalid`] })
      const mailer = Context.get(ports, Mailer)
      yield* mailer.send({ id: "copied", to: [eve], raw })
      const read = yield* other.judge
      assert.deepInclude(read?.judged, { status: "invalid", reason: "not-a-recipient" })

      const refused = yield* Effect.flip(from.send({ ...from.letter, to: ["bob@km.invalid"], subject: "s", body: "x" }))
      assert.match(refused.message, /KM-EML-101/)
    }))
})
