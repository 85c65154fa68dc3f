/** Python's own email package reads what we write, and a hop that takes a message apart with it leaves it verified. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { spawnSync } from "node:child_process"
import { writeV1, writeV2 } from "../../plugins/email/protocol/writeMail.ts"
import { fullDraft } from "../plugins/email/tampering.ts"
import { alice, bob, encrypted, now, plain, read, text, veteran } from "../plugins/email/world.ts"

/** Runs a program of Python's standard library; fails the test when there is no python3. */
const python = (program: string, input: Uint8Array): Buffer => {
  const run = spawnSync("python3", ["-I", "-c", program], { input, maxBuffer: 64 * 1024 * 1024 })
  if (run.error !== undefined) {
    throw new Error(`python3 is needed for this test and did not start: ${run.error.message}`)
  }
  assert.strictEqual(run.status, 0, run.stderr.toString())
  return run.stdout
}

const Seen = Schema.fromJsonString(Schema.Struct({
  defects: Schema.Array(Schema.String),
  subject: Schema.String,
  from: Schema.String,
  to: Schema.Array(Schema.String),
  text: Schema.String,
  attachments: Schema.Array(Schema.Struct({ name: Schema.String, type: Schema.String, base64: Schema.String }))
}))

const reading = `
import base64, email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
parts = list(m.walk())
print(json.dumps({
  "defects": [type(d).__name__ for p in parts for d in p.defects],
  "subject": m["subject"], "from": m["from"].addresses[0].display_name,
  "to": [a.addr_spec for a in m["to"].addresses],
  "text": m.get_body(("plain",)).get_content().replace("\\r\\n", "\\n"),
  "attachments": [{"name": p.get_filename(), "type": p.get_content_type(),
    "base64": base64.b64encode(p.get_payload(decode=True)).decode()} for p in m.iter_attachments()]}))
`

/** A hop: parses, puts its own Date, Message-ID and boundary, encodes every part anew, adds a footer header. */
const hop = `
import email, email.policy, sys
policy = email.policy.SMTP.clone(cte_type="7bit", max_line_length=70)
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
for name, value in (("Date", "Mon, 23 Nov 2026 12:00:01 +0000"), ("Message-ID", "<hop@relay.example>")):
  del m[name]; m[name] = value
m["X-Footer"] = "passed by a relay"
m.set_boundary("another-boundary")
for p in m.walk():
  if not p.is_multipart() and p.get_content_disposition() != "attachment":
    p.set_content(p.get_content(), cte=sys.argv[1])
sys.stdout.buffer.write(m.as_bytes(policy=policy))
`

const composing = `
import sys
from email.message import EmailMessage
from email.policy import SMTP
m = EmailMessage(policy=SMTP)
m["From"], m["To"], m["Subject"] = "sb-0001d0d0@old.example", "sb-bbbb2222@mail.example", "Grüße"
m["X-KM-Sender-ID"] = "sb-0001d0d0"
m["X-KM-Signature"] = sys.argv[1]
m.set_content(sys.stdin.read(), cte="quoted-printable")
m.add_attachment(b"\\x00\\xff", maintype="application", subtype="octet-stream", filename="größe.bin")
sys.stdout.buffer.write(m.as_bytes())
`

const draft = {
  ...fullDraft,
  subject: "Grüße: ✅ und eine Betreffzeile, die so lang ist, daß sie gefaltet werden muß",
  text: "Zeile ü  \n\n\ttab\n.\n-- \nEnde =3D",
  attachments: [...fullDraft.attachments, {
    name: "größe 1.bin",
    type: "image/png",
    bytes: Uint8Array.of(0, 255, 13, 10)
  }]
}

describe("python3's email package", () => {
  it.effect("reads what we write, without a defect", () =>
    Effect.gen(function*() {
      const [mail] = yield* writeV2(draft, alice.signer, plain)
      const seen = yield* Schema.decodeEffect(Seen)(python(reading, mail?.raw ?? new Uint8Array()).toString())
      assert.deepInclude(seen, {
        defects: [],
        subject: draft.subject,
        from: draft.from.name,
        to: draft.to,
        text: draft.text
      })
      assert.deepStrictEqual(
        seen.attachments,
        draft.attachments.map(({ bytes, name, type }) => ({
          name,
          type,
          base64: Buffer.from(bytes).toString("base64")
        }))
      )
    }))

  for (const encoding of ["quoted-printable", "base64"]) {
    it.effect(`passes a message on, encoded anew (${encoding}), and it stays verified`, () =>
      Effect.gen(function*() {
        const [open] = yield* writeV2(draft, alice.signer, plain)
        const [hidden] = yield* writeV2({ ...draft, to: [bob.address] }, alice.signer, encrypted)
        for (const raw of [open?.raw, hidden?.raw]) {
          assert.isDefined(raw)
          const passed = python(hop.replace("sys.argv[1]", JSON.stringify(encoding)), raw)
          assert.notInclude(text(passed), "=_km")
          const verdict = yield* read(passed)
          assert.strictEqual(verdict.status, "verified", verdict.reason)
          assert.deepStrictEqual(verdict.mail, (yield* read(raw)).mail)
          const tampered = Buffer.from(text(passed).replace("mail.example", "evil.example"))
          assert.notStrictEqual((yield* read(tampered)).status, "verified")
        }
      }))
  }

  it.effect("writes v1 mail that we verify", () =>
    Effect.gen(function*() {
      const body = "Grüße\nzwei  \n"
      const old = { from: { address: veteran.address }, to: [bob.address], subject: "x", text: body }
      const ours = text((yield* writeV1(old, veteran, { createdSeconds: now })).raw)
      const signature = /X-KM-Signature: (\S+)/.exec(ours)?.[1] ?? ""
      const raw = python(composing.replace("sys.argv[1]", JSON.stringify(signature)), Buffer.from(body))
      const verdict = yield* read(raw)
      assert.strictEqual(verdict.reason, "", raw.toString())
      assert.deepInclude(verdict, { status: "verified-v1", sender: veteran.sender })
      assert.deepInclude(verdict.mail, { subject: "Grüße", text: "Grüße\nzwei  " })
      assert.deepStrictEqual(verdict.mail?.attachments.map(({ name }) => name), ["größe.bin"])
    }))
})
