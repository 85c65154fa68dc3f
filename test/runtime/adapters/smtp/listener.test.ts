/** What the listener takes, what it refuses and when, and what of a message it leaves alone. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { writeV2 } from "../../../../plugins/email/protocol/writeMail.ts"
import type { SmtpLimits } from "../../../../runtime/adapters/smtp/SmtpListener.ts"
import { traceHeaders } from "../../../../runtime/adapters/smtp/trace.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { Mailer } from "../../../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../../../runtime/ports/Sandboxes.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { fullDraft } from "../../../plugins/email/tampering.ts"
import { alice, bob, carol, encrypted, plain, read, text } from "../../../plugins/email/world.ts"
import { arrivals, listening, mailClient, rawClient, rowOf, withEngine } from "./smtpWorld.ts"

const headers = (subject: string) =>
  `From: person@elsewhere.example\r\nTo: ${bob.address}\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@x>\r\n\r\n`

/** Up to the data of one message to Bob. */
const begun = Effect.fnUntraced(function*(port: number) {
  const client = yield* rawClient(port)
  yield* client.say("EHLO client.example")
  yield* client.say("MAIL FROM:<person@elsewhere.example>")
  yield* client.say(`RCPT TO:<${bob.address}>`)
  assert.match(yield* client.say("DATA"), /^354 /)
  return client
})

/** A client that sends these bytes three times before its time is over is told to go then, and the connection ends. */
const trickled = (limits: Partial<SmtpLimits>, bytes: string) =>
  Effect.gen(function*() {
    const port = yield* listening({ limits })
    const client = yield* rawClient(port)
    yield* client.say("EHLO a.example")
    for (let time = 0; time < 3; time++) {
      yield* client.send(bytes)
      yield* TestClock.adjust(100)
    }
    yield* Effect.repeat(client.reply, { until: (reply) => reply.startsWith("421 ") })
    yield* client.ended
  })

describe("SMTP in", () => {
  it.live("leaves signed mail verified, and says where it has been", () =>
    withEngine(Effect.gen(function*() {
      const send = yield* mailClient(yield* listening())
      const [open] = yield* writeV2(fullDraft, alice.signer, plain)
      const [hidden] = yield* writeV2({ ...fullDraft, to: [bob.address], cc: [] }, alice.signer, encrypted)
      for (const raw of [open?.raw, hidden?.raw]) {
        assert.isDefined(raw)
        yield* send(alice.address, [bob.address], raw)
        const [arrived] = yield* arrivals(bob.sender)
        assert.isDefined(arrived)
        const lines = text(arrived.raw).split("\r\n")
        assert.strictEqual(lines[0], `Return-Path: <${alice.address}>`)
        assert.match(lines[1] ?? "", /^Received: from \S+ \(\[127\.0\.0\.1\]\)$/)
        assert.match(lines[2] ?? "", /^\tby mail\.example with ESMTP id \S+;$/)
        assert.isFalse(Number.isNaN(Date.parse(lines[3] ?? "")), lines[3])
        assert.strictEqual(lines.slice(4).join("\r\n"), text(raw))
        const verdict = yield* read(arrived.raw)
        assert.deepInclude(verdict, { status: "verified", reason: "" })
        assert.deepStrictEqual(verdict.mail, (yield* read(raw)).mail)
      }
    })))

  it.live("knows the addresses of this install and passes nothing on", () =>
    withEngine(Effect.gen(function*() {
      const client = yield* rawClient(yield* listening())
      assert.match(yield* client.say("EHLO client.example"), /250[- ]SIZE 1048576$/)
      assert.match(yield* client.say("AUTH PLAIN AGEAYg=="), /^50[02] /)
      assert.match(yield* client.say("STARTTLS"), /^50[02] /)
      yield* client.say("MAIL FROM:<>")
      for (const known of [bob.address, "BOB@mail.example", "operator@mail.example"]) {
        assert.match(yield* client.say(`RCPT TO:<${known}>`), /^250 /)
      }
      for (const stranger of ["person@elsewhere.example", "sb-nobody@mail.example", "bob@mail.example.evil.example"]) {
        assert.match(yield* client.say(`RCPT TO:<${stranger}>`), /^550 KM-SMT-101 .*passed on/)
      }
      yield* client.say("DATA")
      assert.match(yield* client.say(`${headers("one")}hi\r\n.`), /^250 /)
      // Id, alias in capitals: one mailbox, one delivery.
      assert.lengthOf(yield* arrivals(bob.sender), 1)
      assert.lengthOf(yield* arrivals("operator"), 1)
      assert.lengthOf(yield* arrivals(alice.sender), 0)

      yield* Effect.flatMap(Sandboxes, (sandboxes) =>
        sandboxes.update(SandboxId.make(carol.sender), { status: "destroying" }))
      yield* client.say("MAIL FROM:<>")
      assert.match(yield* client.say(`RCPT TO:<${carol.address}>`), /^550 KM-SMT-101 /)
    })))

  it.live("refuses what is too large: by its announced size, else before its end", () =>
    withEngine(Effect.gen(function*() {
      const port = yield* listening({ maxBytes: 65_536 })
      const client = yield* rawClient(port)
      yield* client.say("EHLO client.example")
      assert.match(yield* client.say("MAIL FROM:<> SIZE=65537"), /^552 .*65536/)
      const send = yield* mailClient(port)
      const refused = yield* Effect.flip(send("a@b.example", [bob.address], `${headers("big")}${"x".repeat(70_000)}`))
      assert.match(refused.message, /552|65536/)

      const liar = yield* begun(port)
      yield* liar.send(headers("endless"))
      for (let n = 0; n < 9; n++) yield* liar.send("x".repeat(8_000) + "\r\n")
      // It never ended its data.
      assert.match(yield* liar.reply, /^552 KM-SMT-102 .*65536/)
      yield* liar.ended
      assert.lengthOf(yield* arrivals(bob.sender), 0)
      // One that fits goes on.
      yield* send("a@b.example", [bob.address], `${headers("small")}${"x".repeat(60_000)}`)
      assert.lengthOf(yield* arrivals(bob.sender), 1)
    })))

  it.live("takes the largest message that a mailbox takes, and bounds what it holds for all clients", () =>
    withEngine(Effect.gen(function*() {
      const send = yield* mailClient(yield* listening({ maxBytes: Number.MAX_SAFE_INTEGER }))
      const line = `${"x".repeat(998)}\r\n`
      const largest = headers("largest") + line.repeat(60_000)
      yield* send("a@b.example", [bob.address], largest)
      const [arrived] = yield* arrivals(bob.sender)
      assert.isTrue(Buffer.from(arrived?.raw ?? []).subarray(-largest.length).equals(Buffer.from(largest)))

      const port = yield* listening({ limits: { maxHeldBytes: 100_000 } })
      const first = yield* begun(port)
      yield* first.send(headers("first") + line.repeat(80))
      const second = yield* begun(port)
      yield* second.send(headers("second") + line.repeat(80))
      // Whichever came second.
      const busy = yield* Effect.raceFirst(
        Effect.map(first.reply, (said) => ({ said, other: second })),
        Effect.map(second.reply, (said) => ({ said, other: first }))
      )
      assert.match(busy.said, /^452 KM-SMT-103 /)
      assert.match(yield* busy.other.say("."), /^250 /)
      const third = yield* begun(port)
      assert.match(yield* third.say(`${headers("third")}${line.repeat(80)}.`), /^250 /)
      assert.lengthOf(yield* arrivals(bob.sender), 2)
    })))

  it.live("keeps every byte: dots, bare line feeds, long and eight-bit lines, UTF-8 headers", () =>
    withEngine(Effect.gen(function*() {
      const port = yield* listening()
      const client = yield* rawClient(port)
      assert.match(yield* client.say("EHLO client.example"), /8BITMIME[^]*SMTPUTF8/)
      const body = [
        ".",
        "..",
        "...dots",
        "bare\nline\n.\nfeeds\n.\r",
        "MAIL FROM:<smuggled@evil.example>",
        "y".repeat(200_000),
        "Grüße"
      ].join("\r\n") + "\r\n"
      const sent = `${headers("Grüße")}${body}`
      yield* client.say("MAIL FROM:<person@elsewhere.example> BODY=8BITMIME SMTPUTF8")
      yield* client.say(`RCPT TO:<${bob.address}>`)
      yield* client.say("DATA")
      assert.match(
        yield* client.say(`${sent.replaceAll(/^\./gm, "..").replaceAll("\n..\nfeeds\n..\r", "\n.\nfeeds\n.\r")}.`),
        /^250 /
      )
      // The connection is where it was: nothing of the body was taken for a command.
      assert.match(yield* client.say("NOOP"), /^250 /)
      const [arrived, ...more] = yield* arrivals(bob.sender)
      assert.lengthOf(more, 0)
      assert.strictEqual(text(arrived?.raw ?? new Uint8Array()).split("\r\n").slice(4).join("\r\n"), sent)
      const verdict = yield* read(arrived?.raw ?? "")
      assert.deepInclude(verdict, { status: "unsigned", reason: "no-signature" })
      assert.strictEqual(verdict.mail?.subject, "Grüße")
      assert.include(verdict.mail?.text, "...dots\nbare\nline\n.\nfeeds\n.\nMAIL FROM")
    })))

  it("keeps a client's words from becoming headers", () => {
    const evil = "x\r\nX-KM-Manifest: e30\r\n\t(\"a\\"
    for (const at of [0, 1_795_435_200_000]) {
      const trace = traceHeaders({
        helo: evil,
        remoteAddress: evil,
        by: evil,
        protocol: evil,
        id: evil,
        at,
        mailFrom: evil
      })
      assert.match(
        trace,
        /^Received: from [\w.:-]+ \(\[[\w.:-]+\]\)\r\n\tby [\w.:-]+ with [\w.:-]+ id [\w.:-]+;\r\n\t[^\r\n]+\r\n$/
      )
    }
  })

  it.live("stores nothing of a client that is killed in the middle", () =>
    withEngine(Effect.gen(function*() {
      const port = yield* listening()
      const client = yield* begun(port)
      yield* client.send(`${headers("half")}${"x".repeat(10_000)}\r\n`)
      yield* client.kill
      const polite = yield* begun(port)
      yield* polite.send(`${headers("half")}no end\r\n`)
      yield* polite.kill
      // Whoever comes later finds room and nothing else.
      const other = yield* begun(port)
      assert.match(yield* other.say(`${headers("whole")}hi\r\n.`), /^250 /)
      const arrived = yield* arrivals(bob.sender)
      assert.deepStrictEqual(arrived.map(({ raw }) => /Subject: (\w+)/.exec(text(raw))?.[1]), ["whole"])
    })))

  it.live("cuts off who is silent", () =>
    withEngine(Effect.gen(function*() {
      // This limit alone is a socket's own, in real time: the message has to have begun by then.
      const silent = yield* begun(yield* listening({ limits: { idleMillis: 3_000 } }))
      assert.match(yield* silent.reply, /^421 /)
      yield* silent.ended
      assert.lengthOf(yield* arrivals(bob.sender), 0)
    })))

  it.effect("cuts off who is slow", () =>
    withEngine(Effect.gen(function*() {
      const slow = yield* begun(yield* listening({ limits: { messageMillis: 300 } }))
      for (let time = 0; time < 3; time++) {
        yield* slow.send("x")
        yield* TestClock.adjust(100)
      }
      assert.match(yield* slow.reply, /^421 KM-SMT-104 /)
      yield* slow.ended
      assert.lengthOf(yield* arrivals(bob.sender), 0)
    })))

  it.effect("cuts off who takes too long for one command, and gives the next one as long", () =>
    withEngine(Effect.gen(function*() {
      yield* trickled({ commandMillis: 300 }, "x")
      const client = yield* rawClient(yield* listening({ limits: { commandMillis: 300 } }))
      for (const command of ["EHLO a.example", "NOOP", "MAIL FROM:<person@elsewhere.example>", "RSET"]) {
        yield* TestClock.adjust(299)
        assert.match(yield* client.say(command), /^250/m)
      }
      yield* TestClock.adjust(300)
      assert.match(yield* client.reply, /^421 KM-SMT-108 /)
      yield* client.ended
    })))

  it.effect("cuts off who keeps a connection without beginning a message, however it passes the time", () =>
    withEngine(Effect.gen(function*() {
      yield* trickled({ commandsMillis: 300 }, "x")
      yield* trickled({ commandsMillis: 300 }, "NOOP\r\n")
      yield* trickled({ sessionMillis: 300 }, "RSET\r\n")
      // A message may be stored until then; afterwards it is told to come again.
      const port = yield* listening({ limits: { commandsMillis: 60_000, sessionMillis: 400 } })
      const client = yield* begun(port)
      yield* client.send(headers("slow"))
      assert.match(yield* client.say("."), /^250 /)
      yield* TestClock.adjust(400)
      assert.match(yield* client.reply, /^421 KM-SMT-108 /)
      yield* client.ended
      assert.lengthOf(yield* arrivals(bob.sender), 1)
    })))

  it.live("leaves room for others whatever one address does", () =>
    withEngine(Effect.gen(function*() {
      const port = yield* listening({ limits: { maxPerPeer: 2 } })
      const first = yield* rawClient(port)
      const second = yield* rawClient(port)
      const third = yield* rawClient(port)
      assert.match(third.greeting, /^421 KM-SMT-109 .*: at most 2$/)
      yield* third.ended
      // Another address has its own share; what is free again can be taken again.
      const other = yield* rawClient(port, "127.0.0.2")
      assert.match(other.greeting, /^220 /)
      assert.match(yield* second.say("QUIT"), /^221 /)
      yield* second.ended
      assert.match((yield* rawClient(port)).greeting, /^220 /)
      assert.match(yield* first.say("NOOP"), /^250 /)
    })))

  it.live("takes no letter beyond ASCII for one of an address", () =>
    withEngine(Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      yield* sandboxes.insert(rowOf("sb-dddd4444", ["kiosk@mail.example"]))
      const client = yield* rawClient(yield* listening())
      yield* client.say("EHLO a.example")
      yield* client.say("MAIL FROM:<> SMTPUTF8")
      for (const wrong of ["\u212aiosk", "kio\u017fk", "\uff4biosk"]) {
        assert.match(yield* client.say(`RCPT TO:<${wrong}@mail.example>`), /^55\d /, wrong)
      }
      assert.match(yield* client.say("RCPT TO:<KIOSK@Mail.EXAMPLE>"), /^250 /)
    })))

  it.live("bounds clients and recipients", () =>
    withEngine(Effect.gen(function*() {
      const port = yield* listening({ limits: { maxClients: 2 } })
      const first = yield* rawClient(port)
      assert.match((yield* rawClient(port)).greeting, /^220 mail\.example /)
      assert.match((yield* rawClient(port)).greeting, /^421 /)
      yield* first.say("EHLO a.example")
      const sandboxes = yield* Sandboxes
      for (let n = 0; n < 101; n++) {
        yield* sandboxes.insert(rowOf(`sb-${String(n).padStart(8, "0")}`, [`b${n}@mail.example`]))
      }
      yield* first.say("MAIL FROM:<>")
      for (let n = 0; n < 100; n++) assert.match(yield* first.say(`RCPT TO:<b${n}@mail.example>`), /^250 /)
      assert.match(yield* first.say("RCPT TO:<b100@mail.example>"), /^452 /)
    })))

  it.live("knows a message that is sent again because the answer was lost", () =>
    withEngine(Effect.gen(function*() {
      const send = yield* mailClient(yield* listening())
      const message = `${headers("again")}hi`
      yield* send("a@b.example", [bob.address], message)
      yield* send("a@b.example", [bob.address, carol.address], message)
      yield* send("a@b.example", [bob.address], `${message}!`)
      assert.lengthOf(yield* arrivals(bob.sender), 2)
      assert.lengthOf(yield* arrivals(carol.sender), 1)
      // Without a message id too, for a while.
      const nameless = "From: a@b.example\r\n\r\nno id"
      yield* send("a@b.example", [bob.address], nameless)
      yield* send("a@b.example", [bob.address], nameless)
      assert.lengthOf(yield* arrivals(bob.sender), 1)
    })))

  it.live("asks for another try when the store fails, and refuses what goes round in circles", () =>
    withEngine(Effect.gen(function*() {
      const full = new StoreError({ port: "Mailer", operation: "send", reason: "Full", detail: "x", cause: undefined })
      const port = yield* listening().pipe(
        Effect.provideService(
          Mailer,
          Mailer.of({
            limits: { maxMessageBytes: 1_048_576 },
            send: () => Effect.fail(full),
            sendAll: () => Effect.fail(full)
          })
        )
      )
      const client = yield* begun(port)
      assert.match(yield* client.say(`${headers("full")}hi\r\n.`), /^451 KM-SMT-105 /)
      const other = yield* begun(yield* listening())
      assert.match(
        yield* other.say(`${"Received: from x\r\n".repeat(101)}${headers("loop")}hi\r\n.`),
        /^554 KM-SMT-106 /
      )
      assert.lengthOf(yield* arrivals(bob.sender), 0)
    })))

  it.live("takes unencrypted mail from the network only when told to", () =>
    withEngine(Effect.gen(function*() {
      for (const host of ["0.0.0.0", "::", "192.0.2.1"]) {
        const refused = yield* Effect.flip(listening({ host }))
        assert.match(refused.message, /KM-SMT-001/)
      }
      const taken = yield* Effect.flip(listening({ port: yield* listening() }))
      assert.match(taken.message, /KM-SMT-002/)
      const tls = yield* Effect.flip(listening({ tls: { certificate: "none", key: "none" } }))
      assert.match(tls.message, /KM-SMT-003/)
    })))
})
