/** Real mail software, over the SMTP listener: swaks and mutt write, mutt and python3 read, python3 sends. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted, Schema } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { writeV2 } from "../../plugins/email/protocol/writeMail.ts"
import { readInstall, statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { mailSigningKeyFromText, mailSigningKeyPath } from "../../runtime/domain/identity/MailIdentity.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { fullDraft } from "../plugins/email/tampering.ts"
import { alice, bob, encrypted, plain, read, text } from "../plugins/email/world.ts"
import { fakeRelay } from "../runtime/adapters/smtp/fakeRelay.ts"
import { arrivals, listening, withEngine } from "../runtime/adapters/smtp/smtpWorld.ts"
import { km } from "../support/KmProcess.ts"
import { mailProgram } from "../support/mailPrograms.ts"
import { mailState } from "../support/MailState.ts"
import { smtpProcess } from "../support/smtpProcess.ts"
import { startStack } from "../support/Stack.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { untilReal } from "../support/untilReal.ts"

interface Ran {
  readonly exit: number | null
  readonly out: string
}

/** Beside the listener, which lives in this process. Output and errors together. */
const run = (command: string, args: ReadonlyArray<string>, input: string | Uint8Array = "", home = "/nowhere") =>
  Effect.callback<Ran>((resume) => {
    const child = spawn(command, args, {
      env: { PATH: process.env["PATH"] ?? "", HOME: home, LC_ALL: "C.UTF-8", TERM: "xterm" },
      stdio: ["pipe", "pipe", "pipe"]
    })
    let out = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => out += chunk)
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => out += chunk)
    child.once("error", (error) => resume(Effect.die(new Error(`this test needs ${command}: ${error.message}`))))
    child.once("close", (exit) => resume(Effect.succeed({ exit, out })))
    // A program that ends early does not read it.
    child.stdin.on("error", () => undefined)
    child.stdin.end(input)
    return Effect.sync(() => void child.kill("SIGKILL"))
  })

const subject = "Grüße: ✅ und eine Betreffzeile, die so lang ist, daß sie gefaltet werden muß"

const draft = {
  ...fullDraft,
  subject,
  text: "Zeile ü\n\n\ttab\n.\n..\n-- \nFrom here =3D",
  attachments: [...fullDraft.attachments, {
    name: "größe 1.bin",
    type: "image/png",
    bytes: Uint8Array.of(0, 255, 13, 10)
  }]
}

describe("swaks", () => {
  it.live("writes to a sandbox: unsigned into quarantine, signed into the inbox", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const ada = (yield* stack.sandbox()).row.id
      const bobId = (yield* stack.sandbox()).row.id
      const paths = statePaths(stack.state)
      const settings = yield* readInstall(stack.state)
      yield* writeInstall(stack.state, { ...settings, smtp: { listen: { port: 0 } } })
      const { port } = yield* smtpProcess(stack.state, "listen")
      const to = `${bobId}@km.invalid`
      const swaks = (...args: ReadonlyArray<string>) =>
        run("swaks", ["--server", `127.0.0.1:${port}`, "--from", `${ada}@km.invalid`, "--to", to, ...args])

      const stranger = yield* swaks(
        "--from",
        "person@elsewhere.example",
        "--header",
        "Subject: from swaks",
        "--body",
        "line\\n.\\nline"
      )
      assert.strictEqual(stranger.exit, 0, stranger.out)
      const elsewhere = yield* swaks("--to", "person@elsewhere.example")
      assert.strictEqual(elsewhere.exit, 24, elsewhere.out)
      assert.include(elsewhere.out, "550 KM-SMT-101")

      const secret = yield* Effect.flatMap(Secrets, (secrets) => secrets.get(mailSigningKeyPath(ada))).pipe(
        Effect.provide(FileSecrets.layer(paths.secrets))
      )
      const key = mailSigningKeyFromText(Option.match(secret, { onNone: () => "", onSome: Redacted.value }))
      assert.isDefined(key)
      const signer = { install: settings.install, sender: ada, key }
      const [mail] = yield* writeV2(
        { from: { address: `${ada}@km.invalid` }, to: [to], subject: "signed", text: ".\n..\nübung", attachments: [] },
        signer,
        { createdSeconds: Math.floor(Date.now() / 1_000), encryption: "off", boxOf: () => undefined }
      )
      const file = path.join(yield* temporaryDirectory, "signed.eml")
      fs.writeFileSync(file, mail?.raw ?? "")
      const signed = yield* swaks("--data", `@${file}`)
      assert.strictEqual(signed.exit, 0, signed.out)

      const got = yield* mailProgram(paths.sandbox(bobId).directory, "km-recv", ["--json", "--wait", "300"])
      assert.strictEqual(got.exit, 0, got.err)
      const [inbox] = JSON.parse(got.out.toString()) as ReadonlyArray<Record<string, unknown>>
      assert.deepInclude(inbox, { status: "verified", sender: ada, subject: "signed", body: ".\n..\nübung" })
      const quarantine = yield* km(stack.state, ["email", "quarantine", bobId])
      assert.match(quarantine.out, /unsigned \(no-signature\) .*person@elsewhere\.example .*from swaks/)
    }))
})

describe("mutt", () => {
  it.live("writes to a sandbox, with an attachment", () =>
    withEngine(Effect.gen(function*() {
      const home = yield* temporaryDirectory
      const port = yield* listening()
      const settings = path.join(home, "muttrc")
      fs.writeFileSync(
        settings,
        [
          `set folder="${home}"`,
          `set smtp_url="smtp://127.0.0.1:${port}"`,
          "set from=\"mutt@elsewhere.example\" realname=\"Müller, Mutt\" hostname=\"elsewhere.example\"",
          "set use_envelope_from=yes copy=no ssl_starttls=no ssl_force_tls=no charset=utf-8 send_charset=utf-8"
        ].join("\n")
      )
      const file = path.join(home, "größe 1.bin")
      fs.writeFileSync(file, Uint8Array.of(0, 255, 13, 10, 46, 10))
      const sent = yield* run(
        "mutt",
        ["-n", "-F", settings, "-s", subject, "-a", file, "--", bob.address],
        "Zeile ü\n.\n..\nFrom here\n",
        home
      )
      assert.strictEqual(sent.exit, 0, sent.out)
      const [arrived, ...more] = yield* arrivals(bob.sender)
      assert.lengthOf(more, 0)
      const verdict = yield* read(arrived?.raw ?? "")
      assert.deepInclude(verdict, { status: "unsigned", reason: "no-signature" })
      assert.deepInclude(verdict.mail, {
        subject,
        from: { address: "mutt@elsewhere.example", name: "Müller, Mutt" }
      })
      assert.strictEqual(verdict.mail?.text.trimEnd(), "Zeile ü\n.\n..\nFrom here")
      assert.deepStrictEqual(
        verdict.mail?.attachments.map(({ bytes, name }) => [name, ...bytes]),
        [["größe 1.bin", 0, 255, 13, 10, 46, 10]]
      )
    })))

  it.live("shows what we write: subject, text and every attachment", () =>
    Effect.gen(function*() {
      const home = yield* temporaryDirectory
      const [mail] = yield* writeV2(draft, alice.signer, plain)
      const box = path.join(home, "box")
      for (const part of ["new", "cur", "tmp"]) fs.mkdirSync(path.join(box, part), { recursive: true })
      fs.writeFileSync(path.join(box, "new", "1.x"), mail?.raw ?? "")
      const settings = path.join(home, "muttrc")
      // Saving goes on to the next entry.
      const saving = draft.attachments.map((_, n) => `<save-entry><kill-line>${home}/part${n}<enter>`).join("")
      fs.writeFileSync(
        settings,
        [
          `set folder="${home}"`,
          "set wait_key=no pipe_decode=yes quit=yes delete=no mark_old=no charset=utf-8",
          "ignore *",
          "unignore from to cc subject",
          `push "<pipe-message>tee ${home}/shown<enter><view-attachments><next-entry>${saving}<exit><quit>"`
        ].join("\n")
      )
      // Its screen needs a terminal, which script makes.
      const shown = yield* run("script", ["-qec", `mutt -n -F ${settings} -f ${box}`, "/dev/null"], "", home)
      assert.strictEqual(shown.exit, 0, shown.out)
      const [head = "", ...body] = fs.readFileSync(path.join(home, "shown"), "utf8").split("\n\n")
      assert.include(head.replaceAll(/\n[ \t]+/g, " "), `Subject: ${subject}`)
      assert.include(head, `From: "build.alice" <${alice.address}>`)
      assert.include(head, `To: ${draft.to.join(", ")}`)
      assert.isTrue(body.join("\n\n").startsWith(draft.text), body.join("\n\n"))
      draft.attachments.forEach(({ bytes, name }, n) => {
        assert.isTrue(Buffer.from(bytes).equals(fs.readFileSync(path.join(home, `part${n}`))), name)
      })
    }))
})

/** For `localhost`, signed by itself. */
const ownCertificate = Effect.fnUntraced(function*(directory: string) {
  const [certificate, key] = [path.join(directory, "cert.pem"), path.join(directory, "key.pem")]
  const asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
    + `-addext subjectAltName=DNS:localhost -keyout ${key} -out ${certificate}`
  const made = yield* run("openssl", asked.split(" "))
  assert.strictEqual(made.exit, 0, made.out)
  const tls = { certificate: fs.readFileSync(certificate, "utf8"), key: fs.readFileSync(key, "utf8") }
  return { certificate, tls }
})

/**
 * What was stored, as Python's own parser sees it. `Content-Type` is left out: nodemailer's composer repeats a name that is
 * not ASCII there as an encoded word, for old readers, which Python calls a defect; it takes the name from the disposition.
 */
const reading = `
import base64, email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
print(json.dumps({
  "defects": [str(d) for p in m.walk() for d in list(p.defects)
    + [d for k, h in p.items() if k.lower() != "content-type" for d in getattr(h, "defects", ())]],
  "subject": m["subject"], "received": len(m.get_all("received", [])), "date": m["date"].datetime.isoformat(),
  "text": m.get_body(("plain",)).get_content().replace("\\r\\n", "\\n"),
  "attachments": [[p.get_filename(), base64.b64encode(p.get_payload(decode=True)).decode()] for p in m.iter_attachments()]}))
`

const Seen = Schema.fromJsonString(Schema.Struct({
  defects: Schema.Array(Schema.String),
  subject: Schema.String,
  received: Schema.Int,
  date: Schema.String,
  text: Schema.String,
  attachments: Schema.Array(Schema.Tuple([Schema.String, Schema.String]))
}))

/** Sends what is on standard input, as it is or taken apart and put together again by Python. */
const sending = (port: number, rewrite: boolean) => `
import email, email.policy, smtplib, sys
raw = sys.stdin.buffer.read()
with smtplib.SMTP("127.0.0.1", ${port}) as server:
  if ${rewrite ? "True" : "False"}:
    m = email.message_from_bytes(raw, policy=email.policy.SMTP)
    del m["Date"]; del m["Message-ID"]
    m["Date"] = "Mon, 23 Nov 2026 12:00:01 +0000"; m["Message-ID"] = "<again@relay.example>"
    for p in m.walk():
      if p.get_content_type() == "text/plain" and p.get_content_disposition() != "attachment":
        p.set_content(p.get_content(), cte="quoted-printable")
    raw = m.as_bytes()
    server.sendmail("hop@relay.example", ["${bob.address}"], raw)
  else:
    server.sendmail("hop@relay.example", ["${bob.address}"], raw)
`

describe("python3", () => {
  for (const rewrite of [false, true]) {
    it.live(`hands in what we write${rewrite ? ", written anew by itself" : ""}: still verified, and without a defect`, () =>
      withEngine(Effect.gen(function*() {
        const port = yield* listening()
        const [open] = yield* writeV2(draft, alice.signer, plain)
        const [hidden] = yield* writeV2({ ...draft, to: [bob.address], cc: [] }, alice.signer, encrypted)
        for (const mail of [open, hidden]) {
          assert.isDefined(mail)
          const sent = yield* run("python3", ["-I", "-c", sending(port, rewrite)], mail.raw)
          assert.strictEqual(sent.exit, 0, sent.out)
          const [arrived] = yield* arrivals(bob.sender)
          assert.isDefined(arrived)
          assert.strictEqual(text(arrived.raw).includes("again@relay.example"), rewrite)
          const verdict = yield* read(arrived.raw)
          assert.deepInclude(verdict, { status: "verified", reason: "" })
          assert.deepInclude(verdict.mail, { subject, text: draft.text })
          const seen = yield* Schema.decodeEffect(Seen)((yield* run("python3", ["-I", "-c", reading], arrived.raw)).out)
          assert.deepInclude(seen, { defects: [], received: 1 })
          if (mail.encrypted) continue
          assert.deepInclude(seen, { subject, text: draft.text + (rewrite ? "\n" : "") })
          assert.deepStrictEqual(
            seen.attachments,
            draft.attachments.map(({ bytes, name }) => [name, Buffer.from(bytes).toString("base64")] as const)
          )
        }
      })))
  }

  it.live("hands in over STARTTLS, by a certificate that it checks", () =>
    withEngine(Effect.gen(function*() {
      const home = yield* temporaryDirectory
      const { certificate, tls } = yield* ownCertificate(home)
      const port = yield* listening({ tls })
      const program = `
import smtplib, socket, ssl, sys
with smtplib.SMTP(port=0) as server:
  server._host = "localhost"
  server.connect("127.0.0.1", ${port})
  server._host = "localhost"
  server.starttls(context=ssl.create_default_context(cafile=sys.argv[1]))
  server.sendmail("a@b.example", ["${bob.address}"], "Subject: secret\\r\\n\\r\\nhi\\r\\n")
`
      const sent = yield* run("python3", ["-I", "-c", program, certificate])
      assert.strictEqual(sent.exit, 0, sent.out)
      const [arrived] = yield* arrivals(bob.sender)
      assert.match(text(arrived?.raw ?? new Uint8Array()), /^\tby mail\.example with ESMTPS id /m)
    })))
})

describe("openssl", () => {
  it.live("vouches for a relay over TLS, and mail waits for one that nobody vouches for", () =>
    Effect.gen(function*() {
      const { accountOf, state } = yield* mailState({ "sb-aaaa1111": "ada" })
      const { certificate, tls } = yield* ownCertificate(yield* temporaryDirectory)
      const relay = yield* fakeRelay({ tls: { key: tls.key, cert: tls.certificate } })
      const smtp = { relay: { host: "localhost", port: relay.port, secure: true } }
      yield* writeInstall(state, { ...yield* readInstall(state), mailDomain: "km.invalid", smtp })
      const ada = yield* accountOf("sb-aaaa1111", { maxBytes: 100_000 })
      yield* ada.send({ ...ada.letter, to: ["you@there.example"], subject: "x", body: "hi" })
      const stranger = yield* smtpProcess(state, "relay")
      yield* untilReal("it has tried", Effect.sync(() => /mail not given/.test(stranger.log())))
      assert.match(stranger.log(), /self-signed certificate/)
      yield* stranger.end
      assert.lengthOf(relay.taken, 0)
      // As if a minute had passed.
      const database = new DatabaseSync(statePaths(state).database)
      database.exec("UPDATE mail_out_to SET next_at = 0")
      database.close()
      yield* smtpProcess(state, "relay", { NODE_EXTRA_CA_CERTS: certificate })
      yield* untilReal("the relay has it", Effect.sync(() => relay.taken.length > 0))
      assert.deepStrictEqual(relay.taken[0]?.to, ["you@there.example"])
    }))
})
