/**
 * The certifier's key and `km up` in real processes. After the first run there is no key, and below `certifier/` lies a
 * number by which whoever read it would take the directory for tampered with: all that runs, runs without reading there.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { readInstall, statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { certify } from "../../runtime/domain/identity/Certificate.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { certifierKey, lastRevocationPath, signingKeyFromText } from "../../runtime/kernel/identity/Certifier.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

const day = 24 * 3_600

/** How the schedule's one run ended, read beside the running `km up`. */
const endOf = (state: string, schedule: string): Record<string, unknown> | undefined => {
  const database = new DatabaseSync(`${state}/engine.db`, { readOnly: true })
  try {
    return database.prepare("SELECT row FROM schedule_runs WHERE schedule = ?").all(schedule)
      .map(({ row }) => JSON.parse(String(row)) as Record<string, unknown>)
      .find(({ outcome }) => outcome !== undefined)
  } finally {
    database.close()
  }
}

/** Unix seconds for each certificate of the operator. */
const endsOf = (state: string): ReadonlyArray<number> => {
  const database = new DatabaseSync(`${state}/engine.db`, { readOnly: true })
  try {
    return database.prepare("SELECT certificate FROM identities WHERE subject = 'operator' ORDER BY purpose").all()
      .map(({ certificate }) => (JSON.parse(String(certificate)) as { readonly notAfter: number }).notAfter)
  } finally {
    database.close()
  }
}

/** The operator's certificate for the bridge ends in 3 days, as if nobody had been here for 27. */
const endSoon = Effect.fnUntraced(function*(state: string) {
  const { install } = yield* readInstall(state)
  const secrets = yield* Secrets
  const certifier = yield* certifierKey(secrets)
  const text = fs.readFileSync(path.join(statePaths(state).secrets, "sandbox/operator/signing-key/v1"), "utf8")
  const key = signingKeyFromText(text)
  assert.isDefined(key)
  if (key === undefined) return
  const now = Math.floor(Date.now() / 1_000)
  const certificate = certify(certifier, {
    version: 1,
    install,
    subject: "operator",
    addresses: [],
    purpose: "operator",
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    notBefore: now - 27 * day,
    notAfter: now + 3 * day
  })
  yield* (yield* Identities).put("operator", "operator", key.keyId, certificate)
})

const onState = <A, E>(state: string, effect: Effect.Effect<A, E, Identities | Secrets>) =>
  Effect.provide(effect, Layer.merge(EmbeddedEngine.layer(state), FileSecrets.layer(statePaths(state).secrets)))

describe("km up and the certifier's key", () => {
  it.live(
    "after the first run it is never opened: schedules run, creates are refused, renewal is a person's",
    () =>
      Effect.gen(function*() {
        const state = path.join(yield* temporaryDirectory, "state")
        yield* Effect.scoped(Effect.gen(function*() {
          yield* kmUp(state)
          const created = yield* km(state, ["create", "profiles/demo.yaml", "--alias", "demo"])
          assert.strictEqual(created.exit, 0, created.err)
        }))
        yield* onState(state, endSoon(state))
        const ends = endsOf(state)
        const directory = path.join(statePaths(state).secrets, "certifier")
        const file = path.join(directory, "signing-key/v1")
        const kept = path.join(path.dirname(state), "kept")
        fs.renameSync(file, kept)

        const refused = yield* km(state, ["at", "in 1 second", "create", "profiles/demo.yaml", "--yes"])
        assert.deepStrictEqual([refused.exit, refused.out], [6, ""])
        assert.include(refused.err, "KM-SCH-027")
        const allowed = { KM_UNATTENDED_CERTIFIER: "true" }
        const plans: ReadonlyArray<ReadonlyArray<string>> = [
          ["create", "profiles/demo.yaml", "--name", "new"],
          ["agent", "run", "demo", "--prompt", "script:text done", "--name", "run"],
          ["email", "send", "--to", "demo", "--subject", "hello", "--body", "profiles/demo.yaml", "--name", "mail"]
        ]
        for (const plan of plans) {
          const planned = yield* km(state, ["at", "in 1 second", ...plan, "--yes"], allowed)
          assert.strictEqual(planned.exit, 0, planned.err)
        }

        const missing = Effect.flatMap(Secrets, (secrets) => secrets.put(lastRevocationPath, Redacted.make("7")))
        yield* onState(state, missing)
        const up = yield* kmUp(state)
        const control = () => fs.readFileSync(path.join(statePaths(state).run, "logs/control.log"), "utf8")
        const warnings = () => control().split("\n").filter((line) => line.includes("km identity renew"))
        yield* untilReal("the warning is there", Effect.sync(() => warnings().length > 0))
        const [warning] = warnings()
        assert.match(
          warning ?? "",
          /operator key of operator ends at .*nothing is renewed by itself.*`km identity renew operator`/
        )
        const all = Effect.sync(() => ["new", "run", "mail"].map((name) => endOf(state, name)))
        const [made, ran, mailed] = yield* untilReal(
          "all have ended",
          Effect.map(all, (found) => found.every((run) => run !== undefined) && found)
        )
        assert.deepInclude(made, { outcome: "failed", code: "KM-SCH-027" })
        assert.deepInclude(ran, { outcome: "succeeded" })
        assert.deepInclude(mailed, { outcome: "succeeded" })
        assert.deepStrictEqual(endsOf(state), ends)
        assert.lengthOf(warnings(), 1)
        assert.notInclude(control(), "control round left")
        assert.deepStrictEqual(fs.readdirSync(path.dirname(file)), [])

        // Back for the person who renews, while km up goes on; then also destroys need nothing of it.
        yield* onState(state, Effect.flatMap(Secrets, (secrets) => secrets.delete(lastRevocationPath)))
        fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
        fs.renameSync(kept, file)
        const renewed = yield* km(state, ["identity", "renew"])
        assert.strictEqual(renewed.exit, 0, renewed.err)
        assert.isTrue(Math.min(...endsOf(state)) > Date.now() / 1_000 + 22 * day)
        fs.rmSync(directory, { recursive: true })
        yield* km(state, ["at", "in 1 second", "destroy", "demo", "--name", "end", "--yes"])
        const ended = yield* untilReal("it is destroyed", Effect.sync(() => endOf(state, "end")))
        assert.deepInclude(ended, { outcome: "succeeded" })
        assert.isNull(up.child.exitCode)
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live(
    "with unattendedCertifier schedules create sandboxes, and a later start certifies the operator anew",
    () =>
      Effect.gen(function*() {
        const state = path.join(yield* temporaryDirectory, "state")
        const allowed = { KM_UNATTENDED_CERTIFIER: "true" }
        yield* Effect.scoped(kmUp(state))
        yield* onState(state, endSoon(state))
        yield* kmUp(state, allowed)
        assert.isTrue(Math.min(...endsOf(state)) > Date.now() / 1_000 + 29 * day)
        const plan = ["at", "in 1 second", "create", "profiles/demo.yaml", "--name", "new", "--yes"]
        const planned = yield* km(state, plan, allowed)
        assert.strictEqual(planned.exit, 0, planned.err)
        const made = yield* untilReal("it has ended", Effect.sync(() => endOf(state, "new")))
        assert.deepInclude(made, { outcome: "succeeded" })
        assert.notInclude(
          fs.readFileSync(path.join(statePaths(state).run, "logs/control.log"), "utf8"),
          "km identity renew"
        )
      }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )
})
