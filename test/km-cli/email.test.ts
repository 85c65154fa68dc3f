/** `km email` as people run it: real processes on the real engine, and sandboxes at the other end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { Mailer } from "../../runtime/ports/Mail.ts"
import { km, kmStarted } from "../support/KmProcess.ts"
import { mailState } from "../support/MailState.ts"
import { untilReal } from "../support/untilReal.ts"

const ada = "sb-aaaa1111"
const bob = "sb-bbbb2222"

interface Shown {
  readonly delivery: string
  readonly status: string
  readonly reason: string
  readonly sender: string
  readonly from: string
  readonly subject: string
  readonly body: string
  readonly encrypted: boolean
  readonly read: boolean
  readonly hop: number
}

const json = (text: string) => JSON.parse(text) as Record<string, unknown> & { readonly messages: ReadonlyArray<Shown> }

describe("km email", () => {
  it.live("the operator writes to a sandbox and reads its answer, encrypted both ways", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const run = (...args: ReadonlyArray<string>) => km(state, ["email", ...args])
      const file = path.join(state, "notes.txt")
      fs.writeFileSync(file, "attached")

      const planned = yield* run("send", "--to", "ada", "--subject", "Deploy", "--body-text", "now", "--dry-run")
      assert.deepStrictEqual([planned.exit, planned.out], [0, ""], planned.err)
      assert.include(planned.err, "would be sent to sb-aaaa1111@km.invalid, encrypted")
      const account = yield* accountOf(ada)
      assert.isUndefined(yield* account.judge)

      const sent = yield* run(
        "send",
        "--to",
        "sb-aa",
        "--bcc",
        "bob",
        "--subject",
        "Deploy",
        "--body-text",
        "now",
        "--attach",
        file,
        "--encrypt"
      )
      assert.strictEqual(sent.exit, 0, sent.err)
      const got = yield* account.judge
      assert.deepInclude(got?.judged, {
        status: "verified",
        reason: "",
        id: sent.out.trim(),
        sender: "operator",
        from: "operator@km.invalid",
        subject: "Deploy",
        body: "now",
        encrypted: true,
        hop: 0
      })
      assert.strictEqual(got?.judged.attachments[0]?.name, "notes.txt")
      assert.strictEqual((yield* (yield* accountOf(bob)).judge)?.judged.status, "verified")
      const theirs = path.join(state, "theirs")
      const opened = yield* run("read", "ada", got?.delivery ?? "", "--save-attachments", theirs, "--json")
      assert.strictEqual(opened.exit, 0, opened.err)
      assert.deepStrictEqual(json(opened.out)["saved"], [path.join(theirs, "notes.txt")])
      assert.strictEqual(fs.readFileSync(path.join(theirs, "notes.txt"), "utf8"), "attached")

      const answer = { ...account.letter, to: ["operator"], subject: "Re: Deploy", body: "done", encrypt: true }
      yield* account.send({
        ...answer,
        inReplyTo: sent.out.trim(),
        attachments: [
          { name: "log.txt", type: "text/plain", bytes: Buffer.from("all green") }
        ]
      })
      const listed = json((yield* run("list", "--json")).out)
      assert.lengthOf(listed.messages, 1)
      assert.deepInclude(listed.messages[0], {
        status: "verified",
        sender: ada,
        subject: "Re: Deploy",
        body: "done",
        encrypted: true,
        read: false,
        hop: 1
      })
      const { delivery = "" } = listed.messages[0] ?? {}
      const told = yield* km(state, ["completions", "deliveries"])
      assert.strictEqual(told.out, `${delivery}\n`)
      const directory = path.join(state, "in")
      const read = yield* run("read", delivery, "--save-attachments", directory, "--mark-read")
      assert.strictEqual(read.exit, 0, read.err)
      assert.match(read.out, /^Status: verified$[^]*^done$/m)
      assert.strictEqual(fs.readFileSync(path.join(directory, "log.txt"), "utf8"), "all green")
      assert.deepStrictEqual(json((yield* run("list", "operator", "--unread", "--json")).out).messages, [])
      const raw = yield* run("read", "operator", delivery, "--raw")
      assert.match(raw.out, /^X-KM-Sender-ID: sb-aaaa1111/m)
      assert.notInclude(raw.out, "all green")
    }).pipe(Effect.scoped))

  it.live("refusals have the codes and exits of km-send", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const run = (...args: ReadonlyArray<string>) => km(state, ["email", ...args, "--json"])
      const refused = Effect.fnUntraced(function*(exit: number, code: string, ...args: ReadonlyArray<string>) {
        const ended = yield* run(...args)
        assert.strictEqual(ended.exit, exit, ended.err)
        assert.include(ended.err, code)
        assert.deepInclude(json(ended.out), { ok: false })
      })
      const text = ["--subject", "x", "--body-text", "y"]
      yield* refused(3, "KM-EML-101", "send", "--to", ada, "--cc", "nobody", ...text)
      yield* refused(5, "KM-CLI-003", "send", "--to", "sb-", ...text)
      yield* refused(6, "KM-EML-004", "send", "--to", ada, "--subject", "x\ny", "--body-text", "z")
      yield* refused(1, "KM-EML-109", "send", "--to", ada, ...text, "--attach", path.join(state, "none"))
      yield* refused(1, "KM-EML-109", "send", "--to", ada, ...text, "--attach", "/dev/zero")
      yield* refused(2, "KM-CLI-001", "send", ...text)
      yield* refused(2, "KM-CLI-001", "list", ada, "--mark-read")
      yield* refused(3, "KM-EML-106", "read", "operator", "nothing")
      yield* refused(7, "KM-EML-110", "list", "--wait", "0.2")
      yield* refused(2, "KM-CLI-001", "list", "--limit", "0")
      yield* refused(2, "KM-CLI-001", "list", "--wait=-1")
      yield* refused(2, "KM-CLI-001", "read", "nothing", "--raw")
      const large = path.join(state, "large.bin")
      fs.writeFileSync(large, Buffer.alloc(41 * 1024 * 1024))
      yield* refused(2, "KM-EML-105", "send", "--to", ada, ...text, "--attach", large)
      assert.isUndefined(yield* (yield* accountOf(ada)).judge, "nothing of all that was sent")
    }).pipe(Effect.scoped))

  it.live(
    "two commands that look at once, and one that is killed meanwhile, file each message once",
    () =>
      Effect.gen(function*() {
        const { accountOf, state } = yield* mailState({ [ada]: "ada" })
        const account = yield* accountOf(ada)
        const subjects = Array.from({ length: 40 }, (_, n) => `report ${n}`)
        const write = (subject: string) => account.send({ ...account.letter, to: ["operator"], subject, body: subject })
        const database = new DatabaseSync(path.join(state, "engine.db"))
        const states = () =>
          database.prepare("SELECT state, count(*) AS n FROM mail WHERE owner = 'operator' GROUP BY state").all()
            .map((row) => `${String(row["state"])} ${String(row["n"])}`)
        // So that no identity is made meanwhile.
        yield* km(state, ["email", "list"])
        for (const subject of subjects) yield* write(subject)
        const looking = yield* kmStarted(state, ["email", "list"], {})
        yield* untilReal("something was filed", Effect.sync(() => states().some((line) => line.startsWith("inbox"))))
        looking.child.kill("SIGKILL")
        yield* Effect.promise(() => looking.ended)
        assert.isTrue(states().some((line) => line.startsWith("arrived")), "killed in the middle")
        const look = km(state, ["email", "list", "--json", "-n", "100"])
        const both = yield* Effect.all([look, look], { concurrency: "unbounded" })
        assert.deepStrictEqual(both.map(({ exit }) => exit), [0, 0])
        // The lease of the killed one, which lapses by itself after half a minute.
        database.prepare("UPDATE mail SET visible_at = 0 WHERE state = 'arrived'").run()
        const all = json((yield* look).out).messages
        assert.deepStrictEqual(states(), ["inbox 40"])
        assert.deepStrictEqual(all.map(({ subject }) => subject), subjects.toReversed())
        assert.deepStrictEqual([...new Set(all.map(({ status }) => status))], ["verified"])
        database.close()
      }).pipe(Effect.scoped)
  )

  it.live("waits for what is not there yet", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada" })
      const account = yield* accountOf(ada)
      const waiting = yield* kmStarted(state, ["email", "list", "--wait", "300", "--json"], {})
      yield* untilReal("it waits", Effect.sync(() => waiting.err().includes("waiting for mail")))
      yield* account.send({ ...account.letter, to: ["operator@km.invalid"], subject: "late", body: "here" })
      const exit = yield* Effect.promise(() => waiting.ended)
      assert.deepStrictEqual([exit, json(waiting.out()).messages.map(({ subject }) => subject)], [0, ["late"]])
    }).pipe(Effect.scoped))

  it.live("waits for one from somebody, whoever else writes meanwhile", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const [hers, his] = [yield* accountOf(ada), yield* accountOf(bob)]
      yield* km(state, ["email", "list"])
      yield* hers.send({ ...hers.letter, to: ["operator"], subject: "early", body: "" })
      const waiting = yield* kmStarted(state, ["email", "list", "--from", "bob", "--wait", "300", "--json"], {})
      yield* untilReal("it waits", Effect.sync(() => waiting.err().includes("waiting for mail")))
      yield* hers.send({ ...hers.letter, to: ["operator"], subject: "between", body: "" })
      yield* his.send({ ...his.letter, to: ["operator"], subject: "his", body: "" })
      const exit = yield* Effect.promise(() => waiting.ended)
      assert.deepStrictEqual([exit, json(waiting.out()).messages.map(({ subject }) => subject)], [0, ["his"]])
      const from = (who: string) => km(state, ["email", "list", "-n", "1", "--json", "--from", who])
      for (const who of [ada, "ada", `${ada}@KM.invalid`]) {
        const { err, out } = yield* from(who)
        assert.deepStrictEqual(json(out).messages.map(({ subject }) => subject), ["between"], `${who} ${err}`)
        assert.include(err, "more than 1")
      }
      assert.include((yield* from("sb-00000000")).err, "no mail from sb-00000000")
      for (const [who, exits] of [["", 2], ["nobody", 3]] as const) assert.strictEqual((yield* from(who)).exit, exits)
    }).pipe(Effect.scoped))

  it.live(
    "lists as many as were asked for however large they are, and says that there are more",
    () =>
      Effect.gen(function*() {
        const { accountOf, state } = yield* mailState({ [ada]: "ada" })
        const account = yield* accountOf(ada)
        yield* km(state, ["email", "list"])
        for (const subject of ["first", "second", "third"]) {
          yield* account.send({ ...account.letter, to: ["operator"], subject, body: subject.repeat(2 * 1024 * 1024) })
        }
        const all = yield* km(state, ["email", "list", "-n", "3"])
        assert.match(all.out, /third.*\n.*second.*\n.*first/, all.err)
        assert.notInclude(all.err, "more than")
        const two = yield* km(state, ["email", "list", "-n", "2"])
        assert.match(two.out, /third.*\n.*second/)
        assert.notInclude(two.out, "first")
        assert.include(two.err, "more than 2, which are older; --limit shows them")
      }).pipe(Effect.scoped),
    90_000
  )

  it.live("a stranger's fields are one line each, after the status, and inert", () =>
    Effect.gen(function*() {
      const { ports, state } = yield* mailState({ [ada]: "ada" })
      yield* km(state, ["email", "list"])
      const name = "a.txt\u202e\u009b2J (1 byte)\n\nStatus: verified"
      const encodedName = `=?utf-8?b?${Buffer.from(name).toString("base64")}?=`
      const raw = [
        "From: =?utf-8?q?x=0AStatus=3A_verified?= <operator@km.invalid verified>",
        `Subject: =?utf-8?b?${Buffer.from("pay\r\nStatus: verified\u2028now\u202e").toString("base64")}?=`,
        "Content-Type: multipart/mixed; boundary=b",
        "",
        "--b",
        "",
        "one\u001b[2Jtwo\rthree",
        "--b",
        `Content-Disposition: attachment; filename="${encodedName}"`,
        "",
        "x",
        "--b--"
      ].join("\r\n")
      const mailer = yield* Effect.provideContext(Mailer, ports)
      yield* mailer.send({ id: "stranger", to: ["operator"], raw: Buffer.from(raw) })
      const shown = yield* km(state, ["email", "read", "stranger"])
      const lines = shown.out.split("\n")
      assert.match(lines[0] ?? "", /^Status: (invalid|unsigned) \(/, shown.err)
      assert.lengthOf(lines.filter((line) => line.startsWith("Status:")), 1)
      assert.match(lines[1] ?? "", /^From: ".*"$/)
      assert.deepStrictEqual(lines.filter((line) => line !== "").slice(2), [
        "Subject: pay Status: verified now",
        "Attachment: a.txt (1 byte) Status: verified (2 bytes)",
        "onetwo",
        "three"
      ])
      const listed = yield* km(state, ["email", "quarantine"])
      assert.match(
        listed.out,
        /^RECEIVED .*\n.* (invalid|unsigned) \(.*\) +".*" +pay Status: verified now +stranger\n$/
      )
      const plain = yield* km(state, ["email", "read", "stranger", "--json"])
      assert.include(plain.out, "\\u202e\\u009b2J")
      for (const { out } of [shown, listed, plain]) {
        assert.notMatch(out.replaceAll("\n", ""), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
      }
    }).pipe(Effect.scoped), 90_000)

  it.live("a message is released from quarantine, its status stays, and the journal has it", () =>
    Effect.gen(function*() {
      const { accountOf, ports, state } = yield* mailState({ [ada]: "ada" })
      const run = (...args: ReadonlyArray<string>) => km(state, ["email", ...args])
      const raw = "From: person@example.org\r\nSubject: hello\r\n\r\nhi\r\n"
      yield* run("list")
      const mailer = yield* Effect.provideContext(Mailer, ports)
      yield* mailer.send({ id: "stranger", to: ["operator", SandboxId.make(ada)], raw: Buffer.from(raw) })
      const released = yield* run("release", "stranger")
      assert.deepStrictEqual(
        [released.exit, released.out],
        [0, "released stranger of operator: unsigned (no-signature)\n"],
        released.err
      )
      const [shown] = json((yield* run("list", "--json")).out).messages
      assert.deepInclude(shown, { status: "unsigned", reason: "released: no-signature", body: "hi\n" })
      assert.deepStrictEqual(json((yield* run("quarantine", "--json")).out).messages, [])
      const again = yield* run("release", "stranger")
      assert.strictEqual(again.exit, 6)
      assert.match(again.err, /KM-EML-115/)
      assert.match((yield* run("release", "nobody")).err, /KM-EML-106/)

      const account = yield* accountOf(ada)
      assert.strictEqual((yield* account.judge)?.folder, "quarantine")
      const other = yield* run("release", "ada", "stranger", "--json")
      assert.deepInclude(
        json(other.out),
        { ok: true, mailbox: ada, delivery: "stranger", status: "unsigned" },
        other.err
      )
      assert.deepInclude((yield* account.judge)?.judged, { status: "unsigned", reason: "released: no-signature" })

      const journal = (yield* km(state, ["audit", "--json"])).out
      const noted = journal.split("\n").filter((line) => line.includes("mail.release"))
      assert.lengthOf(noted, 2)
      assert.notInclude(journal, "hello")
    }).pipe(Effect.scoped))

  it.live("mail that waited for somebody to look is not taken for a flood", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada" })
      const account = yield* accountOf(ada)
      yield* km(state, ["email", "list"])
      // With keys, because the writer counts too.
      for (let n = 0; n < 125; n++) {
        yield* account.send({
          ...account.letter,
          to: ["operator"],
          subject: `${n}`,
          body: "one a second",
          key: `flood/${n}`
        })
      }
      const database = new DatabaseSync(path.join(state, "engine.db"))
      database.prepare("UPDATE mail SET received_at = received_at - 1000 * (130 - seq)").run()
      database.close()
      const listed = json((yield* km(state, ["email", "list", "--json", "-n", "200"])).out)
      assert.lengthOf(listed.messages, 125)
      assert.deepStrictEqual(json((yield* km(state, ["email", "quarantine", "--json"])).out).messages, [])
    }).pipe(Effect.scoped))

  it.live("the first commands of an install that had no such mailbox make its keys once", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada" })
      const account = yield* accountOf(ada)
      for (const subject of ["one", "two", "three"]) {
        yield* account.send({ ...account.letter, to: ["operator"], subject, body: subject })
      }
      const looks = Array.from({ length: 4 }, () => km(state, ["email", "list", "--json"]))
      const ended = yield* Effect.all(looks, { concurrency: "unbounded" })
      assert.deepStrictEqual(ended.map(({ exit }) => exit), [0, 0, 0, 0])
      for (const key of ["mail-signing-key", "encryption-key", "mailbox-key"]) {
        assert.deepStrictEqual(fs.readdirSync(path.join(state, "secrets/sandbox/operator", key)), ["v1"], key)
      }
      const { messages } = json((yield* km(state, ["email", "list", "--json"])).out)
      assert.deepStrictEqual(messages.map(({ status, subject }) => [status, subject]), [
        ["verified", "three"],
        ["verified", "two"],
        ["verified", "one"]
      ])
    }).pipe(Effect.scoped))

  it.live("waits for the verified replies, prints them, and says who is missing", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ [ada]: "ada", [bob]: "bob" })
      const account = yield* accountOf(ada)
      const asked = ["email", "send", "--to", "ada", "--subject", "job", "--body-text", "do it", "--wait-reply"]
      /** Ada answers what is there, when it is there. */
      const answer = (body: string) =>
        Effect.gen(function*() {
          const mail = yield* untilReal("the request is there", Effect.orDie(account.judge))
          const { id } = mail.judged
          yield* account.send({ ...account.letter, to: ["operator"], subject: "unrelated", body: "not this" })
          yield* account.send({ ...account.letter, to: ["operator"], subject: "Re: job", body, inReplyTo: id ?? "" })
        })
      const one = yield* kmStarted(state, [...asked, "300"], {})
      yield* answer("done")
      assert.deepStrictEqual([yield* Effect.promise(() => one.ended), one.out()], [0, "done\n"], one.err())

      const both = yield* kmStarted(state, [...asked, "30", "--to", "bob", "--json"], {})
      yield* answer("done again")
      assert.strictEqual(yield* Effect.promise(() => both.ended), 7, both.err())
      const told = JSON.parse(both.out()) as { ok: boolean; replies: ReadonlyArray<Shown>; missing: unknown }
      assert.deepStrictEqual([told.ok, told.replies.map(({ body }) => body), told.missing], [
        false,
        ["done again"],
        [bob]
      ])
      assert.match(both.err(), /KM-EML-110[^]*sb-bbbb2222 did not answer </)
      // What was printed is read; what nobody waited for is not.
      const { messages } = json((yield* km(state, ["email", "list", "--unread", "--json"])).out)
      assert.deepStrictEqual(messages.map(({ subject }) => subject), ["unrelated", "unrelated"])
    }).pipe(Effect.scoped))

  it.live(
    "says who will not take the operator's mail, when it is sent and when it is planned",
    () =>
      Effect.gen(function*() {
        const { state } = yield* mailState({ [ada]: "ada", [bob]: "bob" }, [bob])
        const text = ["--subject", "x", "--body-text", "y"]
        const sent = yield* km(state, ["email", "send", "--to", "ada", "--cc", `${bob}@km.invalid`, ...text])
        assert.strictEqual(sent.exit, 0, sent.err)
        assert.match(sent.err, /warning: sb-bbbb2222 takes no mail from the operator/)
        assert.notInclude(sent.err, "warning: sb-aaaa1111")
        const planned = yield* km(state, [
          "at",
          "hourly",
          "email",
          "send",
          "--to",
          "ada",
          "--to",
          "bob",
          ...text,
          "--dry-run"
        ])
        assert.strictEqual(planned.exit, 0, planned.err)
        assert.deepStrictEqual(planned.err.match(/warning: .* takes/g), ["warning: sb-bbbb2222 takes"])
      }).pipe(Effect.scoped)
  )
})
