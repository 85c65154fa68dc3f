/** Two certified sandboxes, an operator, a v1 sender of the reference, and a reader's view of them: shared by mail tests. */
import { Effect } from "effect"
import { type MailAddress, MailAddress as MailAddressSchema } from "../../../plugins/email/protocol/MailAddress.ts"
import { type BoxKey, boxKeyFromPrivate } from "../../../plugins/email/protocol/naclBox.ts"
import type { MailDirectory, Reader } from "../../../plugins/email/protocol/Reader.ts"
import { readMail } from "../../../plugins/email/protocol/readMail.ts"
import { makeSeenMemory, type SeenMail } from "../../../plugins/email/protocol/SeenMail.ts"
import {
  certifiedSender,
  currentBox,
  type KnownSender,
  readRevocations,
  v1Sender
} from "../../../plugins/email/protocol/SenderDirectory.ts"
import type { Signer, WriteV2Options } from "../../../plugins/email/protocol/writeMail.ts"
import { certify, type KeyPurpose, type SignedRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { type SigningKey, signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, type KeyId, SandboxId, type SenderId } from "../../../runtime/domain/sandbox/Ids.ts"

export const install = InstallName.make("km")
/** 2026-11-23T12:00:00Z. */
export const now = 1_795_435_200
const day = 24 * 3600

/** 32 bytes that count up from `first`, as the reference's vectors do. */
export const counting = (first: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, n) => (first + n) & 0xff)

export const certifier = signingKeyFromSeed(counting(200))

export interface Party {
  readonly sender: SenderId
  readonly address: MailAddress
  readonly addresses: ReadonlyArray<MailAddress>
  readonly key: SigningKey
  readonly box: BoxKey
  readonly signer: Signer
  readonly known: KnownSender
}

export const certificate = (
  sender: SenderId,
  addresses: ReadonlyArray<string>,
  purpose: KeyPurpose,
  key: { readonly keyId: KeyId; readonly publicKey: Uint8Array },
  window: { readonly notBefore: number; readonly notAfter: number } = {
    notBefore: now - 5 * day,
    notAfter: now + 20 * day
  },
  by: SigningKey = certifier
) =>
  certify(by, {
    version: 1,
    install,
    subject: sender,
    addresses: [...addresses],
    purpose,
    keyId: key.keyId,
    publicKey: Buffer.from(key.publicKey).toString("base64"),
    ...window
  })

export const revocationsOf = (rows: ReadonlyArray<SignedRevocation>) =>
  Effect.runSync(readRevocations(certifier.publicKey, install, rows, 0))

export const party = (
  id: string,
  names: ReadonlyArray<string>,
  seed: number,
  rows: ReadonlyArray<SignedRevocation> = []
): Party => {
  const sender: SenderId = SandboxId.make(id)
  const addresses = names.map((name) => MailAddressSchema.make(name))
  const [address] = addresses
  const key = signingKeyFromSeed(counting(seed))
  const box = boxKeyFromPrivate(counting(seed + 32))
  const known = certifiedSender({
    certifierPublicKey: certifier.publicKey,
    install,
    sender,
    mail: [certificate(sender, names, "mail", key)],
    boxes: [certificate(sender, [], "mail-box", box)],
    revocations: revocationsOf(rows)
  })
  if (known === undefined || address === undefined) throw new Error("the test's own certificate was refused")
  return { sender, address, addresses, key, box, signer: { install, sender, key, box }, known }
}

export const alice = party("sb-aaaa1111", ["sb-aaaa1111@mail.example", "build.alice@mail.example"], 0)
export const bob = party("sb-bbbb2222", ["sb-bbbb2222@mail.example", "bob@mail.example"], 64)
export const carol = party("sb-cccc3333", ["sb-cccc3333@mail.example"], 128)

/** As the reference's rows know it: a bare public key, no certificate. */
export const veteran = {
  sender: SandboxId.make("sb-0001d0d0"),
  address: "sb-0001d0d0@old.example",
  key: signingKeyFromSeed(counting(0)),
  box: boxKeyFromPrivate(counting(32))
}
const veteranKnown = v1Sender(veteran.sender, Buffer.from(veteran.key.publicKey).toString("base64"), [veteran.address])
if (veteranKnown === undefined) throw new Error("the test's own key was refused")

export const directoryOf = (
  entries: ReadonlyArray<readonly [KnownSender, ReadonlyArray<string>]>
): MailDirectory<never> => ({
  bySender: (sender) => Effect.succeed(entries.find(([entry]) => entry.sender === sender)?.[0]),
  byAddress: (address) => Effect.succeed(entries.find(([, own]) => own.includes(address))?.[0])
})

export const directory = directoryOf([
  [alice.known, alice.addresses],
  [bob.known, bob.addresses],
  [carol.known, carol.addresses],
  [veteranKnown, [veteran.address]]
])

export const readerOf = (who: Party, nowSeconds = now): Reader => ({
  install,
  addresses: who.addresses,
  boxes: [who.box],
  nowSeconds
})

/** Reads one delivery with a memory of its own unless one is given. */
export const read = (
  raw: Uint8Array | string,
  who: Party = bob,
  options: {
    readonly seen?: SeenMail<never>
    readonly delivery?: string
    readonly at?: number
    readonly directory?: MailDirectory<never>
  } = {}
) =>
  readMail(
    typeof raw === "string" ? Buffer.from(raw, "utf8") : raw,
    readerOf(who, options.at),
    options.directory ?? directory,
    options.seen ?? makeSeenMemory(),
    options.delivery ?? "delivery-1"
  )

const parties = [alice, bob, carol]

export const boxOf = (address: MailAddress) => {
  const found = parties.find(({ addresses }) => addresses.includes(address))
  return found === undefined ? undefined : currentBox(found.known, now)
}

export const plain: WriteV2Options = { createdSeconds: now - 60, encryption: "off", boxOf }
export const encrypted: WriteV2Options = { createdSeconds: now - 60, encryption: "required", boxOf }

export const text = (raw: Uint8Array): string => Buffer.from(raw).toString("utf8")
