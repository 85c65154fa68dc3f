/** What the vectors are written with: fixed randomness, short ways to a message, and the form of a case. */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { writeV2, type WriteV2Options } from "../../../plugins/email/protocol/writeMail.ts"
import { signText } from "../../../runtime/domain/identity/Ed25519.ts"
import { fullDraft } from "../../plugins/email/tampering.ts"
import { alice, bob, boxOf, now, text, veteran } from "../../plugins/email/world.ts"

export interface Case {
  readonly name: string
  readonly reader: "alice" | "bob" | "carol"
  /** Recorded before this message comes. */
  readonly seen?: ReadonlyArray<{ readonly sender: string; readonly nonce: string; readonly manifestSha256: string }>
  readonly raw: string
  readonly expect: {
    readonly status: string
    readonly reason: string
    readonly duplicate?: boolean
    readonly sender?: string
    readonly subject?: string
    readonly text?: string
    readonly attachments?: ReadonlyArray<string>
  }
}

export const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")

/** SHA-256 of a label and a counter: bytes that look random and are always the same. */
export const stream = (label: string) => {
  let counter = 0
  return (length: number): Uint8Array => {
    const blocks: Array<Buffer> = []
    for (let have = 0; have < length; have += 32) {
      blocks.push(createHash("sha256").update(`km-mail-vectors ${label} ${counter++}`).digest())
    }
    return new Uint8Array(Buffer.concat(blocks).subarray(0, length))
  }
}

export const rawOf = (mail: { readonly raw: Uint8Array } | undefined): string => text(mail?.raw ?? new Uint8Array())

/** `fullDraft` with changes, plain unless `more` says otherwise. */
export const writeFull = (
  label: string,
  draft = {},
  more: Partial<WriteV2Options> = {},
  signer = alice.signer,
  from: { readonly address: string } = fullDraft.from
) =>
  writeV2({ ...fullDraft, from: { name: "", ...from }, ...draft }, signer, {
    createdSeconds: now - 60,
    encryption: "off",
    boxOf,
    random: stream(label),
    ...more
  })

/** To Bob alone, without attachments. */
export const bare = { to: [bob.address], cc: [], attachments: [] }

/** What a reader makes of `fullDraft` when nothing is wrong. */
export const good = {
  status: "verified",
  reason: "",
  sender: alice.sender,
  subject: fullDraft.subject,
  text: fullDraft.text,
  attachments: ["a.txt", "b.json"]
}

/** A v1 message in one part, `over` being what is signed. */
export const signedV1 = (body: string, over: string) =>
  [
    `From: ${veteran.address}`,
    `To: ${bob.address}`,
    "Subject: v1",
    `X-KM-Sender-ID: ${veteran.sender}`,
    `X-KM-Signature: ${signText(veteran.key, over)}`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=\"UTF-8\"",
    "",
    body
  ].join("\r\n")

/** A case that Bob reads and of which nothing is shown. */
export const bad = (name: string, raw: string, reason: string, status = "invalid"): Case => ({
  name,
  reader: "bob",
  raw,
  expect: { status, reason }
})

export const writeAs = (label: string, draft = {}, more: Partial<WriteV2Options> = {}, signer = alice.signer) =>
  Effect.map(writeFull(label, { ...bare, ...draft }, more, signer), (mails) => rawOf(mails[0]))
