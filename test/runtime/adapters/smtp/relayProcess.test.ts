/** From a sandbox's mail account through `km-smtp relay` as a process that is killed, to a relay; and back as a notice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { setTimeout } from "node:timers/promises"
import { readInstall, statePaths, writeInstall } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import { mailState } from "../../../support/MailState.ts"
import { givePassword, smtpProcess } from "../../../support/smtpProcess.ts"
import { untilReal } from "../../../support/untilReal.ts"
import { fakeRelay, type RelayManners, type Taken } from "./fakeRelay.ts"

const password = "a-password-that-nobody-sees"
const limits = { maxBytes: 200_000 }

describe("km-smtp relay", () => {
  it.live(
    "takes mail out of the install: once, or twice at most when it is killed on an answer; refusals come back",
    () =>
      Effect.gen(function*() {
        const { accountOf, state } = yield* mailState({ "sb-aaaa1111": "ada", "sb-bbbb2222": "bob" })
        const arrived: Array<Taken> = []
        const run = Effect.runPromiseWith(yield* Effect.context<never>())
        let kill = Effect.void
        let end = Effect.void
        const manners: Partial<RelayManners> = {
          user: { name: "km", password },
          recipient: (address) => address.startsWith("no") ? 550 : 250,
          data: async (taken) => {
            arrived.push(taken)
            // The relay has it, and its client is gone before it hears so.
            if (arrived.length === 1) await run(kill)
            if (/Subject: last/.test(taken.raw)) {
              // Told to stop, it waits for the answer of a relay that takes its time.
              void run(end)
              await setTimeout(300)
            }
            return 250
          }
        }
        const relay = yield* fakeRelay(manners)
        const install = yield* readInstall(state)
        yield* writeInstall(state, {
          ...install,
          mailDomain: "km.invalid",
          smtp: { relay: { host: "127.0.0.1", port: relay.port, user: "km" } }
        })
        assert.strictEqual(givePassword(state, "two\nlines\n"), 2)
        assert.strictEqual(givePassword(state, `${password}\n`), 0)
        const ada = yield* accountOf("sb-aaaa1111", limits)
        const bob = yield* accountOf("sb-bbbb2222")
        const letter = { ...ada.letter, subject: "Grüße", body: "line\n.\nline" }

        // Without a relay, or in our own domain, nobody outside is written to.
        const refused = yield* Effect.flip(bob.send({ ...letter, to: ["you@there.example"] }))
        assert.match(refused.message, /KM-EML-101/)
        const own = yield* Effect.flip(ada.send({ ...letter, to: ["nobody@km.invalid", "you@there.example"] }))
        assert.match(own.message, /KM-EML-101/)
        // Encryption that is demanded is not left out for those who have no key.
        const hidden = yield* Effect.flip(
          ada.send({ ...letter, to: ["bob"], bcc: ["you@there.example"], encrypt: true })
        )
        assert.match(hidden.message, /KM-EML-010.*you@there\.example/)
        const part = { name: "x", type: "text/plain", bytes: new Uint8Array(200_000) }
        const large = yield* Effect.flip(ada.send({ ...letter, to: ["you@there.example"], attachments: [part] }))
        assert.match(large.message, /KM-EML-112.*200000/)
        const awaited = yield* Effect.flip(ada.send({ ...letter, to: ["you@there.example"], awaitSeconds: 5 }))
        assert.match(awaited.message, /KM-EML-105/)
        assert.isUndefined(yield* bob.judge)

        const sent = yield* ada.send({
          ...letter,
          to: ["bob", "you@there.example", "no@there.example"],
          bcc: ["blind@there.example"]
        })
        assert.deepStrictEqual(sent.recipients.toSorted(), [
          "blind@there.example",
          "no@there.example",
          "sb-bbbb2222@km.invalid",
          "you@there.example"
        ])
        // Who is inside has it already.
        assert.strictEqual((yield* bob.judge)?.judged.status, "verified")
        assert.lengthOf(arrived, 0)

        const first = yield* smtpProcess(state, "relay")
        kill = first.kill
        yield* untilReal("the relay has the first message", Effect.sync(() => arrived.length > 0))
        yield* first.kill
        const second = yield* smtpProcess(state, "relay")
        const database = new DatabaseSync(statePaths(state).database, { readOnly: true })
        const rows = () =>
          database.prepare("SELECT address, state FROM mail_out_to ORDER BY address").all().map((row) => [
            row["address"],
            row["state"]
          ])
        yield* untilReal("all of it is settled", Effect.sync(() => rows().every(([, one]) => one !== "waiting")))
        assert.deepStrictEqual(rows(), [
          ["blind@there.example", "sent"],
          ["no@there.example", "failed"],
          ["you@there.example", "sent"]
        ])
        const copies = new Map<string, number>()
        for (const { from, raw, to } of arrived) {
          assert.strictEqual(from, "sb-aaaa1111@km.invalid")
          assert.include(raw, `Message-ID: ${sent.id}\r\n`)
          assert.notInclude(raw, to.includes("you@there.example") ? "blind@" : "nothing")
          copies.set(to.join(), (copies.get(to.join()) ?? 0) + 1)
        }
        assert.deepStrictEqual([...copies.keys()].toSorted(), ["blind@there.example", "you@there.example"])
        // The one on whose answer it was killed came again; it is the same message.
        assert.strictEqual(copies.get(arrived[0]?.to.join() ?? ""), 2)
        assert.isAtMost(arrived.length, 4)
        for (const times of copies.values()) assert.isAtMost(times, 2)

        // The refusal is in the inbox, whatever the sandbox demands of others' mail.
        const notice = yield* ada.judge
        assert.deepInclude(notice, { folder: "inbox" })
        assert.deepInclude(notice?.judged, {
          status: "unsigned",
          from: "mailer.daemon@km.invalid",
          subject: "Not delivered to no@there.example",
          inReplyTo: sent.id
        })
        assert.include(notice?.judged.body, "relay says 550")
        assert.isUndefined(yield* ada.judge)

        // The password is nowhere but in the secrets.
        for (const place of ["environ", "cmdline"]) {
          assert.notInclude(readFileSync(`/proc/${second.pid}/${place}`, "latin1"), password)
        }
        end = second.end
        yield* ada.send({ ...letter, to: ["you@there.example"], subject: "last" })
        yield* untilReal("it is settled", Effect.sync(() => rows().every(([, one]) => one !== "waiting")))
        yield* second.end
        yield* smtpProcess(state, "relay")
        assert.lengthOf(arrived.filter(({ raw }) => /Subject: last/.test(raw)), 1)

        assert.notInclude(first.log() + second.log(), password)
        assert.notInclude(readFileSync(statePaths(state).database, "latin1"), password)
      })
  )
})
