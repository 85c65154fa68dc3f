/** `km` on the AWS engine: the same commands, on a stack of processes whose shared state is not on this machine's disk. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { inject } from "vitest"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import { Aws } from "../../runtime/engines/aws/Aws.ts"
import { Bucket } from "../../runtime/engines/aws/Bucket.ts"
import { Dynamo } from "../../runtime/engines/aws/Dynamo.ts"
import { stateTable } from "../../runtime/engines/aws/tables.ts"
import { fakeRelay } from "../runtime/adapters/smtp/fakeRelay.ts"
import { mailClient } from "../runtime/adapters/smtp/smtpWorld.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"
import { emulated, freshInstall } from "./SteeredAws.ts"

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

/** Where the listener says that it listens. */
const portOf = (state: string): number => {
  const [line = "{}"] = readFileSync(path.join(state, "run/logs/mail-in.log"), "utf8").split("\n")
  return (JSON.parse(line) as { readonly annotations: { readonly port: number } }).annotations.port
}

/** Items and objects that are one sandbox's. */
const keptOf = (sandbox: string) =>
  Effect.gen(function*() {
    const purpose = { port: "Test", operation: "left" }
    const items = yield* (yield* Dynamo).scan(purpose, { table: stateTable, consistent: true })
    const objects = yield* (yield* Bucket).keys(purpose, "")
    return {
      items: items.filter(({ sandbox_id }) => sandbox_id === sandbox).map(({ item }) => String(item)),
      objects: objects.filter((key) => key.includes(sandbox))
    }
  })

describe("km on the AWS engine", () => {
  it.live("init, up, create, chat, mail in and out, killed parts, schedules, audit, destroy, down", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporaryDirectory, "state")
      const name = freshInstall()
      const endpoint = inject("motoInRealTime")
      const place = {
        KM_INSTALL: name,
        KM_ENGINE: "aws",
        KM_AWS_REGION: emulated.region,
        KM_AWS_ACCOUNT_ID: emulated.accountId,
        KM_AWS_ENDPOINT: endpoint
      }
      const incomplete = yield* km(state, ["init"], { ...place, KM_AWS_REGION: "" })
      assert.include(incomplete.err, "KM-CLI-010")
      const made = yield* km(state, ["init", "--json"], place)
      assert.strictEqual(made.exit, 0, made.err)
      assert.deepInclude(json(made.out), { engine: "aws", install: name, made: true, sandboxes: 0 })

      // From here on the install says where it lives.
      const relay = yield* fakeRelay()
      const installed = json(readFileSync(path.join(state, "install.json"), "utf8"))
      assert.deepInclude(installed, { engine: "aws" })
      const { writeInstall } = yield* Effect.promise(() => import("../../runtime/adapters/disk/StateDirectory.ts"))
      yield* writeInstall(state, {
        ...(installed as never as Parameters<typeof writeInstall>[1]),
        mailDomain: "agents.example",
        smtp: { listen: { port: 0 }, relay: { host: "127.0.0.1", port: relay.port } }
      })
      const up = yield* kmUp(state)
      const created = yield* km(state, ["create", "profiles/demo.yaml", "--alias", "demo", "--json"])
      assert.strictEqual(created.exit, 0, created.err)
      const { id } = json(created.out)["sandbox"] as { readonly id: string }
      const chat = yield* km(state, ["chat", "demo", "script:text hello", "--json"])
      assert.strictEqual(chat.exit, 0, chat.err)
      assert.deepInclude(json(chat.out), { ok: true, outcome: "answered", sandbox: id })

      const send = yield* mailClient(portOf(state))
      yield* send("person@there.example", ["demo@agents.example"], "Subject: hello\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n")
      yield* untilReal(
        "the mail is judged",
        Effect.map(km(state, ["email", "quarantine", "demo"]), ({ out }) => /unsigned .*hello/.test(out))
      )
      const letter = ["--subject", "re: hello", "--body", "profiles/demo.yaml"]
      const sent = yield* km(state, ["email", "send", "--to", "person@there.example", "--to", "demo", ...letter])
      assert.strictEqual(sent.exit, 0, sent.err)
      yield* untilReal("the relay has it", Effect.sync(() => relay.taken.length > 0))
      yield* untilReal(
        "the sandbox has it",
        Effect.map(km(state, ["email", "list", "demo", "--json"]), ({ out }) => out.includes("re: hello"))
      )

      // A part that dies is started again and goes on with what is there.
      const parts = yield* UpFile.read(path.join(state, "run"))
      for (const part of parts._tag === "Some" ? parts.value.children : []) {
        if (["bridge", "control", "runtime"].includes(part.name)) yield* UpFile.signal(part.process, "SIGKILL")
      }
      const after = yield* km(state, ["chat", "demo", "script:text after the crash", "--json"])
      assert.strictEqual(after.exit, 0, after.err)
      assert.include(up.err(), "runtime ended by itself")

      assert.strictEqual((yield* km(state, ["at", "in 1 second", "stop", "demo", "--name", "rest", "--yes"])).exit, 0)
      yield* untilReal(
        "the schedule has run",
        Effect.map(km(state, ["at", "history", "rest"]), ({ out }) => /succeeded/.test(out))
      )
      const status = yield* km(state, ["status", "--json"])
      assert.strictEqual(status.exit, 0, status.err)
      const doctor = yield* km(state, ["doctor", "--json"])
      assert.strictEqual(doctor.exit, 0, doctor.out)
      const destroyed = yield* km(state, ["destroy", "demo", "--yes", "--json"])
      assert.strictEqual(destroyed.exit, 0, destroyed.err)
      assert.deepStrictEqual((json((yield* km(state, ["list", "--json"])).out) as { sandboxes: unknown }).sandboxes, [])
      const journal = json((yield* km(state, ["audit", "--json"])).out) as {
        readonly entries: ReadonlyArray<Record<string, string>>
      }
      const done = journal.entries.filter(({ verdict }) => verdict === "done")
      assert.includeMembers(done.map(({ action, subject }) => `${action} ${subject}`), [
        `sandbox.create ${id}`,
        `sandbox.destroy ${id}`
      ])
      assert.strictEqual((yield* km(state, ["audit", "verify"])).exit, 0)
      const left = yield* Effect.provide(
        keptOf(id),
        Layer.merge(Bucket.layer, Dynamo.layer).pipe(
          Layer.provide(Aws.layer({ ...emulated, install: name, endpoint }))
        )
      )
      assert.deepStrictEqual(left.objects, [])
      assert.deepStrictEqual(left.items.filter((item) => !item.startsWith("fact#")), [])
      const down = yield* km(state, ["down"])
      assert.strictEqual(down.exit, 0, down.err)
      for (const file of ["engine.db", "audit", "mail", "secrets/certifier"]) {
        assert.isFalse(existsSync(path.join(state, file)), file)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
