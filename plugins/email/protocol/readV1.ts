/** v1 as the reference signs it: the body and nothing else. So nothing but the body is proven, once or many times. */
import { canonicalBody, forbiddenBody, signedForms } from "./bodyText.ts"
import { claimed } from "./claimedMail.ts"
import { mailboxesOf } from "./headerText.ts"
import { headerValues, type ParsedMail, tokenIn } from "./MimeReader.ts"
import { openSealedBox } from "./naclBox.ts"
import type { Reader } from "./Reader.ts"
import { keyValidAt, type KnownSender } from "./SenderDirectory.ts"
import { fromBase64 } from "./strictBase64.ts"
import type { Verdict } from "./Verdict.ts"
import { headerNames, type MailReason, type MailStatus } from "./wire.ts"

const open = (text: string, reader: Reader): string | undefined => {
  const sealed = fromBase64(text.replaceAll(/[ \t\r\n]+/g, ""))
  if (sealed === undefined) return undefined
  for (const box of reader.boxes) {
    const plain = openSealedBox(sealed, box)
    if (plain !== undefined) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(plain)
  }
  return undefined
}

export const readV1 = (mail: ParsedMail, signature: string, entry: KnownSender, reader: Reader): Verdict => {
  const encrypted = /^(true|yes|1)$/i.test(tokenIn(mail, headerNames.encrypted) ?? "")
  const text = mail.text ?? ""
  const end = (status: MailStatus, reason: MailReason, plain?: string): Verdict => ({
    status,
    reason,
    form: "v1",
    sender: status === "verified-v1" || status === "encrypted-unreadable" ? entry.sender : undefined,
    promised: entry.promises,
    encrypted,
    duplicate: false,
    mail: plain === undefined ? claimed(mail) : { ...claimed(mail), text: plain }
  })
  if (fromBase64(signature)?.length !== 64) return end("invalid", "signature-wrong")
  if (forbiddenBody(text) !== undefined) return end("invalid", "forbidden-body")
  const forms = signedForms(text)
  const signers = entry.keys.flatMap((key) => {
    const form = forms.findIndex((candidate) => key.verify(candidate, signature))
    return form < 0 ? [] : [{ key, form }]
  })
  const [signer] = signers.toSorted((a, b) => Number(a.key.revoked) - Number(b.key.revoked))
  if (signer === undefined) return end("invalid", "signature-wrong")
  if (signer.key.revoked) return end("revoked", "key-revoked")
  const from = headerValues(mail, "from").flatMap((value) => mailboxesOf(value))
  const [author] = from
  if (from.length !== 1 || author === undefined || !signer.key.addresses.some((own) => own === author.address)) {
    return end("invalid", "from-not-senders")
  }
  // Whoever promises v2 signs everything with it: without it, the manifest was taken off.
  if (entry.promises === "v2") return end("invalid", "downgraded")
  // v1 says nothing about when, so only now can be asked.
  if (!keyValidAt(signer.key, reader.nowSeconds)) return end("expired", "key-not-valid-then")
  const reason = signer.form === 0 ? "" : "legacy-form"
  if (!encrypted) return end("verified-v1", reason, canonicalBody(text))
  const plain = open(text, reader)
  if (plain === undefined) {
    return end("encrypted-unreadable", reader.boxes.length === 0 ? "no-key-for-reader" : "cannot-decrypt")
  }
  // A box says nothing about who filled it, so what comes out is held to the same rule as what is signed.
  return forbiddenBody(plain) === undefined
    ? end("verified-v1", reason, canonicalBody(plain))
    : end("invalid", "forbidden-body")
}
