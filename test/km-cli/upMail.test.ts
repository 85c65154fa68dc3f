/** `km up` with an SMTP listener and a relay in `install.json`: mail programs write in, the operator writes out. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { readInstall, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { fakeRelay } from "../runtime/adapters/smtp/fakeRelay.ts"
import { mailClient } from "../runtime/adapters/smtp/smtpWorld.ts"
import { km, kmUp } from "../support/KmProcess.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

/** Where the listener says that it listens. */
const portOf = (state: string): number => {
  const [line = "{}"] = readFileSync(path.join(state, "run/logs/mail-in.log"), "utf8").split("\n")
  return (JSON.parse(line) as { readonly annotations: { readonly port: number } }).annotations.port
}

const json = (text: string) => JSON.parse(text) as Record<string, unknown>

describe("km up with mail programs", () => {
  it.live("takes mail in, gives mail to the relay, and km doctor sees both", () =>
    Effect.gen(function*() {
      const state = path.join(yield* temporaryDirectory, "state")
      yield* Effect.scoped(kmUp(state))
      const relay = yield* fakeRelay()
      const install = yield* readInstall(state)
      const smtp = { listen: { port: 0 }, relay: { host: "127.0.0.1", port: relay.port } }
      yield* writeInstall(state, { ...install, mailDomain: "agents.example", smtp })
      const up = yield* kmUp(state)
      const created = yield* km(state, ["create", "profiles/demo.yaml", "--alias", "demo", "--json"])
      assert.strictEqual(created.exit, 0, created.err)

      const send = yield* mailClient(portOf(state))
      yield* send("person@there.example", ["demo@agents.example"], "Subject: hello\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n")
      const quarantined = Effect.map(km(state, ["email", "quarantine", "demo"]), ({ out }) =>
        /unsigned .*hello/.test(out))
      yield* untilReal("the mail is judged", quarantined)

      const sent = yield* km(state, [
        "email",
        "send",
        "--to",
        "person@there.example",
        "--subject",
        "re: hello",
        "--body",
        "profiles/demo.yaml"
      ])
      assert.strictEqual(sent.exit, 0, sent.err)
      yield* untilReal(
        "the relay has it",
        Effect.sync(() =>
          relay.taken.length > 0
        )
      )
      assert.deepStrictEqual(relay.taken.map(({ from, to }) => [from, to]), [
        ["operator@agents.example", ["person@there.example"]]
      ])

      // Nobody is there under the domain of before, and what was meant for one of ours must not leave the machine.
      const gone = yield* km(state, ["email", "send", "--to", "sb-gone0000@km.invalid", "--body-text", "x"])
      assert.strictEqual(gone.exit, 3, gone.err)
      assert.match(gone.err, /KM-EML-101/)

      const doctor = json((yield* km(state, ["doctor", "--json"])).out)["checks"] as ReadonlyArray<
        Record<string, unknown>
      >
      const mail = doctor.filter(({ name }) => /^mail (in|out)$/.test(String(name)))
      assert.deepStrictEqual(mail.map(({ name, status }) => [name, status]), [["mail in", "ok"], ["mail out", "ok"]])
      assert.isNull(up.child.exitCode)
    }).pipe(Effect.provide(NodeServices.layer)))
})
