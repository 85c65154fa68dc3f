/** What every secret store must do: the newest version, by path, and nothing outside of a process's scope. */
import { assert, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import { scopedSecrets, Secrets, secretsWithoutCertifier } from "../../../runtime/ports/Secrets.ts"
import type { StoreError } from "../../../runtime/ports/StoreError.ts"
import { type Engine, timeOf } from "./Engine.ts"

const secret = (value: string) => Redacted.make(value)

const paths = (secrets: Secrets["Service"], path: string) =>
  Effect.map(secrets.under(path), (found) => found.map((one) => one.path))

export const secretsContract = <LE>(engine: Engine<Secrets, LE>): void => {
  const { settle } = timeOf(engine)
  const test = <E>(name: string, body: (secrets: Secrets["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(Secrets, body), engine.layer))
  const value = Effect.fnUntraced(function*(secrets: Secrets["Service"], path: string) {
    yield* settle
    return Option.getOrUndefined(Option.map(yield* secrets.get(path), Redacted.value))
  })

  test("gives the newest version and counts them", (secrets) =>
    Effect.gen(function*() {
      assert.isUndefined(yield* value(secrets, "slack/bot-token"))
      for (let version = 1; version <= 12; version++) {
        assert.strictEqual(yield* secrets.put("slack/bot-token", secret(`xoxb-${version}\n`)), version)
      }
      assert.strictEqual(yield* value(secrets, "slack/bot-token"), "xoxb-12\n")
      yield* secrets.delete("slack/bot-token")
      yield* secrets.delete("slack/bot-token")
      assert.isUndefined(yield* value(secrets, "slack/bot-token"))
    }))

  test("never prints a value", (secrets) =>
    Effect.gen(function*() {
      yield* secrets.put("a/b", secret("xoxb-visible"))
      const got = yield* secrets.get("a/b")
      assert.notInclude(`${String(Option.getOrThrow(got))} ${JSON.stringify(got)}`, "xoxb-visible")
    }))

  test("gives what lies at or below a path, with its newest value", (secrets) =>
    Effect.gen(function*() {
      for (const path of ["sandbox/sb-2/signing-key", "slack/bot-token", "sandbox/sb-1/signing-key", "slack"]) {
        yield* secrets.put(path, secret("x"))
      }
      assert.deepStrictEqual(yield* paths(secrets, ""), [
        "sandbox/sb-1/signing-key",
        "sandbox/sb-2/signing-key",
        "slack",
        "slack/bot-token"
      ])
      assert.deepStrictEqual(yield* paths(secrets, "sandbox/sb-1"), ["sandbox/sb-1/signing-key"])
      yield* secrets.delete("slack")
      assert.deepStrictEqual(yield* paths(secrets, "slack"), ["slack/bot-token"])
      assert.deepStrictEqual(yield* paths(secrets, "slack/bot"), [])
      yield* secrets.put("slack/bot-token", secret("y"))
      const found = yield* secrets.under("slack/bot-token")
      assert.deepStrictEqual(found.map((one) => Redacted.value(one.value)), ["y"])
    }))

  test("takes values up to 4 KB of UTF-8, and no more", (secrets) =>
    Effect.gen(function*() {
      const most = "é".repeat(2_048)
      yield* secrets.put("a", secret(most))
      assert.strictEqual((yield* Effect.flip(secrets.put("a", secret(`${most}x`)))).reason, "TooLarge")
      assert.strictEqual(yield* value(secrets, "a"), most)
    }))

  test("refuses what is no path", (secrets) =>
    Effect.gen(function*() {
      for (const path of ["", "/a", "a/", "../a", "a/../b", "a//b", "A", "a/v1", "a b", ".a", "a\u0000", "é"]) {
        for (const act of [secrets.get(path), secrets.put(path, secret("x")), secrets.delete(path)]) {
          const refused = yield* Effect.flip(Effect.asVoid(act))
          assert.strictEqual(refused.reason, "Denied", JSON.stringify(path))
        }
      }
      assert.deepStrictEqual(yield* paths(secrets, ""), [])
    }))

  test("deletes everything at or below a path, and gives nothing out", (secrets) =>
    Effect.gen(function*() {
      for (
        const path of ["sandbox/sb-1", "sandbox/sb-1/signing-key", "sandbox/sb-1/a/b", "sandbox/sb-10/signing-key"]
      ) {
        yield* secrets.put(path, secret("x"))
        yield* secrets.put(path, secret("y"))
      }
      yield* secrets.deleteUnder("sandbox/sb-1")
      yield* secrets.deleteUnder("sandbox/sb-1")
      assert.deepStrictEqual(yield* paths(secrets, ""), ["sandbox/sb-10/signing-key"])
      for (const path of ["", "..", "sandbox/"]) {
        assert.strictEqual((yield* Effect.flip(secrets.deleteUnder(path))).reason, "Denied", path)
      }
      assert.strictEqual(yield* secrets.put("sandbox/sb-1/signing-key", secret("z")), 1)
    }))

  test("a scope may delete what it cannot read, and read what it cannot write", (secrets) =>
    Effect.gen(function*() {
      for (const path of ["certifier/k", "sandbox/operator/k", "sandbox/sb-1/k", "sandbox/sb-2/k", "slack/k"]) {
        yield* secrets.put(path, secret(path))
      }
      const denied = Effect.fnUntraced(function*<A>(act: Effect.Effect<A, StoreError>) {
        assert.strictEqual((yield* Effect.flip(Effect.asVoid(act))).reason, "Denied")
      })
      const scoped = scopedSecrets(secrets, {
        read: ["sandbox", "certifier"],
        delete: ["sandbox/sb-1", "slack"],
        except: ["sandbox/operator"]
      })
      assert.deepStrictEqual(yield* paths(scoped, ""), ["sandbox/sb-1/k", "sandbox/sb-2/k"])
      yield* denied(scoped.get("sandbox/operator/k"))
      yield* denied(scoped.get("slack/k"))
      yield* denied(scoped.put("sandbox/sb-1/k", secret("x")))
      yield* denied(scoped.put("slack/k", secret("x")))
      yield* denied(scoped.delete("sandbox/sb-2/k"))
      yield* denied(scoped.deleteUnder("sandbox"))
      yield* denied(scoped.deleteUnder("certifier"))
      yield* scoped.deleteUnder("sandbox/sb-1")
      yield* scoped.delete("slack/k")
      const all = scopedSecrets(secrets, { read: ["sandbox"], write: ["sandbox"], except: ["sandbox/operator"] })
      yield* denied(all.deleteUnder("sandbox"))
      assert.deepStrictEqual(yield* paths(secrets, ""), ["certifier/k", "sandbox/operator/k", "sandbox/sb-2/k"])
      const certifying = scopedSecrets(secrets, { read: ["certifier"], certifier: true })
      assert.strictEqual(yield* value(certifying, "certifier/k"), "certifier/k")
      yield* denied(certifying.put("certifier/k", secret("x")))
    }))

  test("a scope sees its prefixes only, and never the certifier's key", (secrets) =>
    Effect.gen(function*() {
      for (const path of ["certifier/signing-key", "slack/bot-token", "sandbox/sb-1/signing-key", "slackish/x"]) {
        yield* secrets.put(path, secret(path))
      }
      const prefixes = ["slack", "sandbox/sb-1/", "certifier", ""]
      const scoped = scopedSecrets(secrets, { read: prefixes, write: prefixes })
      assert.strictEqual(yield* value(scoped, "slack/bot-token"), "slack/bot-token")
      assert.strictEqual(yield* value(scoped, "sandbox/sb-1/signing-key"), "sandbox/sb-1/signing-key")
      for (
        const path of ["certifier/signing-key", "slackish/x", "sandbox/sb-2/signing-key", "model/anthropic-api-key"]
      ) {
        for (
          const act of [scoped.get(path), scoped.put(path, secret("x")), scoped.delete(path), scoped.deleteUnder(path)]
        ) {
          assert.strictEqual((yield* Effect.flip(Effect.asVoid(act))).reason, "Denied", path)
        }
      }
      assert.deepStrictEqual(yield* paths(scoped, ""), ["sandbox/sb-1/signing-key", "slack/bot-token"])
      assert.strictEqual(yield* value(secrets, "certifier/signing-key"), "certifier/signing-key")
    }))

  test("without the certifier's there is everything else, and nothing below certifier/", (secrets) =>
    Effect.gen(function*() {
      const refused = ["certifier", "certifier/signing-key", "certifier/last-revocation", "certifier/x/y"]
      const kept = ["certifiers/x", "model/anthropic-api-key", "sandbox/operator/signing-key"]
      for (const path of [...refused, ...kept]) yield* secrets.put(path, secret(path))
      const unattended = secretsWithoutCertifier(secrets)
      for (const path of kept) {
        yield* unattended.put(path, secret(`new ${path}`))
        assert.strictEqual(yield* value(unattended, path), `new ${path}`)
      }
      for (const path of refused) {
        for (const act of [unattended.get(path), unattended.put(path, secret("x")), unattended.delete(path)]) {
          assert.strictEqual((yield* Effect.flip(Effect.asVoid(act))).reason, "Denied", path)
        }
        assert.strictEqual(yield* value(secrets, path), path)
      }
      assert.deepStrictEqual(yield* paths(unattended, ""), kept)
      assert.deepStrictEqual(yield* paths(unattended, "certifier"), [])
    }))
}
