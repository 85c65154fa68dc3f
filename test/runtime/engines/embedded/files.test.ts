/** What only the file engine can get wrong: links, half-written files, names on the disk. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Redacted, Stream } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileObjects from "../../../../runtime/engines/embedded/FileObjects.ts"
import * as FileSecrets from "../../../../runtime/engines/embedded/FileSecrets.ts"
import { Mailbox, Mailer } from "../../../../runtime/ports/Mail.ts"
import { Objects } from "../../../../runtime/ports/Objects.ts"
import { Secrets } from "../../../../runtime/ports/Secrets.ts"
import { delivered } from "../../../support/deliveredMail.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

const sandbox = SandboxId.make("sb-00000001")
const everything = (root: string) => fs.readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted()

describe("objects in files", () => {
  it.effect("a link in the place of an object is refused", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const objects = yield* Objects
        yield* objects.put(sandbox, "a", Stream.succeed(Buffer.from("a")))
        fs.writeFileSync(path.join(root, "outside"), "secret")
        fs.symlinkSync(path.join(root, "outside"), path.join(root, sandbox, "link"))
        const error = yield* Effect.flip(Stream.runCollect(objects.get(sandbox, "link")))
        assert.strictEqual(error._tag === "StoreError" && error.reason, "Denied")
        // Written over, the link is replaced and what it pointed at stays.
        yield* objects.put(sandbox, "link", Stream.succeed(Buffer.from("new")))
        assert.strictEqual(fs.readFileSync(path.join(root, "outside"), "utf8"), "secret")
      }).pipe(Effect.provide(FileObjects.layer(root)))
    }))

  it.effect("a half-written file is never listed, and nothing is left of an owner", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const objects = yield* Objects
        yield* objects.put(sandbox, "a/b", Stream.succeed(Buffer.from("a")))
        fs.writeFileSync(path.join(root, sandbox, ".0.tmp"), "half")
        assert.deepStrictEqual(yield* objects.list(sandbox), ["a/b"])
        yield* objects.delete(sandbox, "a/b")
        assert.deepStrictEqual(everything(root), [sandbox, `${sandbox}/.0.tmp`])
        yield* objects.deleteAll(sandbox)
        assert.deepStrictEqual(everything(root), [])
      }).pipe(Effect.provide(FileObjects.layer(root)))
    }))
})

describe("secrets in files", () => {
  it.effect("deleting leaves nothing: no version, no half-written file, no empty directory", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const secrets = yield* Secrets
        const key = `sandbox/${sandbox}/signing-key`
        for (let version = 0; version < 3; version++) yield* secrets.put(key, Redacted.make("seed"))
        fs.writeFileSync(path.join(root, key, ".0.tmp"), "half of a seed")
        yield* secrets.put("sandbox/operator/signing-key", Redacted.make("seed"))
        yield* secrets.delete(key)
        assert.deepStrictEqual(everything(root), [
          "sandbox",
          "sandbox/operator",
          "sandbox/operator/signing-key",
          "sandbox/operator/signing-key/v1"
        ])
      }).pipe(Effect.provide(FileSecrets.layer(root)))
    }))

  it.effect("keeps the newest ten versions", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      yield* Effect.gen(function*() {
        const secrets = yield* Secrets
        for (let version = 1; version <= 12; version++) yield* secrets.put("a", Redacted.make(`${version}`))
        const kept = Array.from({ length: 10 }, (_, n) => `v${n + 3}`).toSorted()
        assert.deepStrictEqual(fs.readdirSync(path.join(root, "a")).toSorted(), kept)
      }).pipe(Effect.provide(FileSecrets.layer(root)))
    }))
})

describe("large mail in files", () => {
  it.effect("a file stays as long as its message, and goes with one that is dropped", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const files = () => everything(path.join(root, "mail")).filter((name) => name.includes("/")).length
      yield* Effect.gen(function*() {
        const mailbox = yield* Mailbox
        const mailer = yield* Mailer
        for (const [n, folder] of (["inbox", "quarantine", "dropped"] as const).entries()) {
          yield* mailer.send({ id: folder, to: [sandbox], raw: Buffer.alloc(100_000, "km") })
          assert.strictEqual(files(), n + 1)
          const { receipt } = Option.getOrThrow(yield* mailbox.lease(sandbox, Duration.minutes(1)))
          yield* mailbox.file(sandbox, receipt, { folder, summary: "", content: "" })
          assert.strictEqual(files(), Math.min(n + 1, 2), folder)
        }
      }).pipe(Effect.provide(delivered(EmbeddedEngine.layer(root))))
    }))
})

/** How many rows each table of mail holds. */
const rowsIn = (root: string) => {
  const database = new DatabaseSync(path.join(root, "engine.db"), { readOnly: true })
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'mail%'").all()
    return Object.fromEntries(
      tables.map(({ name }) => [
        String(name),
        Number(database.prepare(`SELECT count(*) AS n FROM "${String(name)}"`).get()?.["n"])
      ])
    )
  } finally {
    database.close()
  }
}

describe("a mailbox that is removed", () => {
  it.effect("leaves no row in any table and no file, and another's stay", () =>
    Effect.gen(function*() {
      const root = yield* temporaryDirectory
      const other = SandboxId.make("sb-00000002")
      yield* Effect.gen(function*() {
        const mailbox = yield* Mailbox
        const mailer = yield* Mailer
        const one = Effect.fnUntraced(function*(owner: SandboxId) {
          const large = Buffer.alloc(100_000, "km")
          const outside = { owner, from: `${owner}@km.example`, to: ["ann@example.com"] }
          for (const [n, content] of ["small", "x".repeat(100_000)].entries()) {
            yield* mailer.send({ id: `${owner}-${n}`, to: [owner], raw: large })
            const { receipt } = Option.getOrThrow(yield* mailbox.lease(owner, Duration.minutes(1)))
            yield* mailbox.file(owner, receipt, { folder: "inbox", summary: "", content })
          }
          yield* mailer.send({ id: `${owner}-out`, to: [], raw: large, outside })
          yield* mailbox.note({ owner, key: "k", value: "v", keepUntilSeconds: 10_000_000_000 })
          yield* mailbox.recordSeen(owner, {
            sender: owner,
            nonce: "n",
            manifestSha256: "a",
            delivery: "d",
            keepUntilSeconds: 10_000_000_000
          })
        })
        yield* one(sandbox)
        const alone = rowsIn(root)
        for (const table of ["mail", "mail_filed", "mail_notes", "mail_seen", "mail_revisions", "mail_out"]) {
          assert.isAbove(alone[table] ?? 0, 0, `${table} is asked about`)
        }
        yield* one(other)
        yield* mailbox.removeAll(sandbox)
        assert.deepStrictEqual(rowsIn(root), alone)
        assert.isFalse(fs.existsSync(path.join(root, "mail", sandbox)))
        yield* mailbox.removeAll(other)
        assert.deepStrictEqual(Object.values(rowsIn(root)).filter((rows) => rows > 0), [])
      }).pipe(Effect.provide(delivered(EmbeddedEngine.layer(root))))
    }))
})
