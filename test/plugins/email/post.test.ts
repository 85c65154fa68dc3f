/** Two sandboxes of one install write to each other through real runtimes, by the programs that their agents have. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import type { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { km } from "../../support/KmProcess.ts"
import { mailProgram, unread } from "../../support/mailPrograms.ts"
import { until } from "../../support/ScriptedModel.ts"
import { startStack } from "../../support/Stack.ts"

const Message = Schema.Struct({
  delivery: Schema.String,
  status: Schema.String,
  reason: Schema.String,
  sender: Schema.String,
  from: Schema.String,
  subject: Schema.String,
  id: Schema.NullOr(Schema.String),
  hop: Schema.Int,
  inReplyTo: Schema.NullOr(Schema.String),
  encrypted: Schema.Boolean,
  body: Schema.String,
  attachments: Schema.Array(Schema.Struct({ name: Schema.String, size: Schema.Int }))
})
const messages = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Message)))

/** The delivery of the only message in the inbox. */
const onlyDelivery = (database: DatabaseSync, owner: string) =>
  database.prepare("SELECT id FROM mail WHERE owner = ? AND state = 'inbox'").get(owner)?.["id"]

/** Of a runtime that handles one message of 40 MB at a time, in kB: 782,000 were measured. */
const maxPeakKb = 1_400_000

describe("mail between sandboxes", () => {
  it.live("signed, encrypted, answered, 40 MB, and through a kill -9", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const ada = (yield* stack.sandbox()).row.id
      const bob = (yield* stack.sandbox()).row.id
      const paths = statePaths(stack.state)
      const send = (from: SandboxId, input: string, ...args: ReadonlyArray<string>) =>
        mailProgram(paths.sandbox(from).directory, "km-send", args, input)
      const recv = (who: SandboxId, ...args: ReadonlyArray<string>) =>
        mailProgram(paths.sandbox(who).directory, "km-recv", args)

      const sent = yield* send(ada, "run the tests\n", "--to", bob, "--subject", "work ünïcode", "--encrypt")
      assert.strictEqual(sent.exit, 0, sent.err)
      const got = yield* recv(bob, "--json", "--wait", "300", "--mark-read")
      assert.strictEqual(got.exit, 0, got.err)
      const [first] = messages(got.out.toString())
      assert.deepInclude(first, {
        status: "verified",
        reason: "",
        sender: ada,
        from: `${ada}@km.invalid`,
        subject: "work ünïcode",
        body: "run the tests",
        encrypted: true,
        hop: 0,
        id: sent.out.toString().trim()
      })
      assert.deepStrictEqual(messages((yield* recv(bob, "--json")).out.toString()), [])

      // Bob answers; the runtime raises the hop.
      const answered = yield* send(bob, "done", "--to", ada, "--subject", "Re: work", "--in-reply-to", first?.id ?? "")
      assert.strictEqual(answered.exit, 0, answered.err)
      const [answer] = messages((yield* recv(ada, "--json", "--wait", "300")).out.toString())
      assert.deepInclude(answer, { status: "verified", hop: 1, inReplyTo: first?.id ?? "", body: "done" })

      // As much as mail may hold arrives byte by byte, encrypted; one byte more is refused.
      const text = "see file"
      const bytes = randomBytes(40 * 1024 * 1024 - text.length)
      const { workspace } = paths.sandbox(ada)
      fs.writeFileSync(path.join(workspace, "big.bin"), bytes)
      const big = yield* send(ada, text, "--to", bob, "--subject", "big", "--encrypt", "--attach", "big.bin")
      assert.strictEqual(big.exit, 0, big.err)
      const inbox = yield* recv(bob, "--json", "--wait", "300", "--subject", "big", "--save-attachments", "in")
      assert.strictEqual(inbox.exit, 0, inbox.err)
      assert.deepInclude(messages(inbox.out.toString())[0], { status: "verified", encrypted: true })
      assert.isTrue(bytes.equals(fs.readFileSync(path.join(paths.sandbox(bob).workspace, "in/big.bin"))))
      // Sent, judged and read again in one runtime: each holds the message and its content a few times over.
      const peak = /VmHWM:\s+(\d+) kB/.exec(fs.readFileSync(`/proc/${stack.runtime.pid}/status`, "utf8"))?.[1]
      assert.isBelow(Number(peak), maxPeakKb)
      const refused = yield* send(ada, `${text}.`, "--to", bob, "--subject", "x", "--encrypt", "--attach", "big.bin")
      assert.notStrictEqual(refused.exit, 0)
      assert.match(refused.err, /41943040/)

      // Nobody is written to by mistake.
      const nobody = yield* send(ada, "hi", "--to", "sb-nobody", "--to", bob, "--subject", "x")
      assert.deepInclude(nobody, { exit: 3 })
      assert.match(nobody.err, /KM-EML-101/)

      // A refusal says what is wrong and what to do, in the words of its code.
      const long = yield* send(ada, "hi", "--to", bob, "--subject", "s".repeat(100_000))
      assert.deepInclude(long, { exit: 6 })
      assert.match(long.err, /KM-EML-004.*\n.*over 998 characters\n.*one line, or move it into the body/)
      assert.match((yield* send(ada, "hi", "--tow", bob)).err, /Unknown option '--tow'\n.*km-send --help/)
      assert.match((yield* recv(ada, "--limit", "501")).err, /1 to 500\n.*km-recv --help/)
      assert.strictEqual((yield* recv(ada, "--raw", "--json")).exit, 2)
      // Nobody reads what it prints: it ends as other programs do then, and marks nothing.
      const unheard = yield* unread(paths.sandbox(bob).directory, "km-recv", ["--json", "--mark-read"])
      assert.deepStrictEqual([unheard.exit, unheard.err], [141, ""])
      assert.strictEqual(messages((yield* recv(bob, "--json", "--subject", "big")).out.toString()).length, 1)

      // Progress that nobody reads ends nothing: it goes on to wait for its reply.
      const progress = ["--to", bob, "--subject", "unheard", "--wait-reply", "1"]
      assert.strictEqual((yield* unread(paths.sandbox(ada).directory, "km-send", progress, "stderr")).exit, 7)
      assert.lengthOf(messages((yield* recv(bob, "--json", "--subject", "unheard", "--mark-read")).out.toString()), 1)

      // What was delivered while nobody runs is judged later; what was changed meanwhile is found.
      yield* stack.runtime.kill9
      const database = new DatabaseSync(paths.database)
      const mail = database.prepare("SELECT seq, raw FROM mail WHERE owner = ? AND state = 'inbox' AND raw IS NOT NULL")
        .get(ada)
      const raw = Buffer.from(mail?.["raw"] instanceof Uint8Array ? mail["raw"] : [])
      const insert = database.prepare(
        "INSERT INTO mail (owner, id, state, received_at, size, raw) VALUES (?, ?, 'arrived', ?, ?, ?)"
      )
      const forged = Buffer.from(
        raw.toString("latin1").replace("Subject: Encrypted message", "Subject: Changed message"),
        "latin1"
      )
      insert.run(ada, "forged", Date.now(), forged.length, forged)
      // The same copy again, under another name of the transport.
      insert.run(ada, "again", Date.now(), raw.length, raw)
      // A lease that died with its reader, over what it had filed already.
      database.prepare("UPDATE mail SET state = 'arrived', receipt = 'lost', visible_at = 0 WHERE seq = ?")
        .run(mail?.["seq"] ?? 0)
      // A row of Bob's inbox that somebody edits.
      database.prepare(
        "UPDATE mail_filed SET content = replace(content, 'see file', 'pay now') "
          + "WHERE seq IN (SELECT seq FROM mail WHERE owner = ?)"
      ).run(bob)
      yield* stack.startRuntime
      const later = yield* recv(ada, "--json", "--wait", "300")
      assert.strictEqual(later.exit, 0, later.err)
      const kept = messages(later.out.toString())
      assert.deepStrictEqual(kept.map(({ id, status }) => [id, status]), [[answer?.id, "verified"]])
      const all = database.prepare(
        "SELECT m.id, m.state, f.content FROM mail m LEFT JOIN mail_filed f ON f.seq = m.seq "
          + "WHERE m.owner = ? ORDER BY m.seq"
      )
      // The first one is shown as soon as it is filed; the others follow.
      yield* until(() => all.all(ada).every(({ state }) => state !== "arrived"))
      const rows = all.all(ada)
      assert.deepStrictEqual(rows.map(({ state }) => state), ["inbox", "quarantine", "dropped"])
      assert.match(String(rows[1]?.["content"]), /"status":"invalid","reason":"header-changed"/)
      // The operator sees the same, with reasons.
      const quarantine = yield* km(stack.state, ["email", "quarantine", ada])
      assert.match(quarantine.out, /invalid \(header-changed\) .* forged/)
      const shown = yield* km(stack.state, ["email", "read", ada, String(onlyDelivery(database, ada))])
      assert.match(shown.out, /^Status: verified\nFrom: .*\n(.+\n)*\ndone/)
      const edited = messages((yield* recv(bob, "--json", "--wait", "300")).out.toString())
      assert.deepStrictEqual(edited.map(({ body, reason, status }) => [body, reason, status]), [
        ["", "changed-in-store", "invalid"]
      ])
      // Whom the agent reports to: nobody watches that mailbox, so it is judged by the command that looks.
      const report = yield* send(ada, "all is well", "--to", "operator", "--subject", "report")
      assert.strictEqual(report.exit, 0, report.err)
      const received = yield* km(stack.state, ["email", "list", "--json"])
      const [told] = (JSON.parse(received.out) as { messages: ReadonlyArray<typeof Message.Type> }).messages
      assert.deepInclude(told, { status: "verified", sender: ada, subject: "report", body: "all is well" })
      database.close()
    }))
})
