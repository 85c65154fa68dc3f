/** Further senders of the vectors' directory: a revoked key, an ended one, a renewed one, and rows that prove nothing. */
import nacl from "tweetnacl"
import { MailAddress } from "../../../plugins/email/protocol/MailAddress.ts"
import { boxKeyFromPrivate } from "../../../plugins/email/protocol/naclBox.ts"
import { certify, type Revocation, signRevocation } from "../../../runtime/domain/identity/Certificate.ts"
import { keyIdOf, signingKeyFromSeed } from "../../../runtime/domain/identity/Ed25519.ts"
import { InstallName, SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { carol, certificate, certifier, counting, install, now } from "../../plugins/email/world.ts"
import { base64 } from "./writing.ts"

const day = 24 * 3600

const party = (id: string, seed: number) => ({
  sender: SandboxId.make(id),
  address: MailAddress.make(`${id}@mail.example`),
  key: signingKeyFromSeed(counting(seed))
})

/** Her key is revoked. */
export const dora = party("sb-dddd4444", 160)

/** Her certificate ended a day ago. */
export const erin = party("sb-eeee5555", 170)

const frankParty = party("sb-ffff6666", 180)
const frankAlias = MailAddress.make("frank@mail.example")
/** The neutral element: a Diffie-Hellman with it is zero, whatever the other's key. */
const lowOrder = Uint8Array.from({ length: 32 }, (_, n) => n === 0 ? 1 : 0)
/** What a reader computes with it who does not check: the same for everybody. */
export const sharedWithLowOrder = nacl.box.before(lowOrder, counting(1))
/** Certified for signing, and put among the keys for encryption. */
const mailAsBox = boxKeyFromPrivate(counting(183))
const frankBox = boxKeyFromPrivate(counting(182))

/** One key with two certificates, the second of which names a further address; one of his X25519 keys has low order. */
export const frank = {
  ...frankParty,
  alias: frankAlias,
  addresses: [frankParty.address, frankAlias],
  box: frankBox,
  lowOrder: { keyId: keyIdOf(lowOrder), publicKey: lowOrder },
  mail: [
    certificate(frankParty.sender, [frankParty.address], "mail", frankParty.key, {
      notBefore: now - 20 * day,
      notAfter: now - day
    }),
    certificate(frankParty.sender, [frankParty.address, frankAlias], "mail", frankParty.key, {
      notBefore: now - 2 * day,
      notAfter: now + 20 * day
    })
  ],
  mailAsBox,
  boxes: [
    certificate(frankParty.sender, [], "mail", mailAsBox),
    certificate(frankParty.sender, [], "mail-box", { keyId: keyIdOf(lowOrder), publicKey: lowOrder }),
    certificate(frankParty.sender, [], "mail-box", frankBox, { notBefore: now - 20 * day, notAfter: now - day }),
    certificate(frankParty.sender, [], "mail-box", frankBox, { notBefore: now - 2 * day, notAfter: now + 20 * day })
  ]
}

const malloryParty = party("sb-9999aaaa", 190)
const weak = Uint8Array.from(lowOrder)
const others = {
  forBridge: signingKeyFromSeed(counting(191)),
  forBoxes: signingKeyFromSeed(counting(195)),
  elsewhere: signingKeyFromSeed(counting(192)),
  selfMade: signingKeyFromSeed(counting(193)),
  tooLong: signingKeyFromSeed(counting(194))
}
const own = [malloryParty.address]

/** A directory entry into which every row was put that should count for nothing, beside a key of small order. */
export const mallory = {
  ...malloryParty,
  keys: others,
  weak: { keyId: keyIdOf(weak), publicKey: weak },
  mail: [
    certificate(malloryParty.sender, own, "mail", { keyId: keyIdOf(weak), publicKey: weak }),
    certificate(malloryParty.sender, own, "bridge", others.forBridge),
    certificate(malloryParty.sender, own, "mail-box", others.forBoxes),
    certify(certifier, {
      version: 1,
      install: InstallName.make("other"),
      subject: malloryParty.sender,
      addresses: own,
      purpose: "mail",
      keyId: others.elsewhere.keyId,
      publicKey: base64(others.elsewhere.publicKey),
      notBefore: now - day,
      notAfter: now + day
    }),
    certificate(malloryParty.sender, own, "mail", others.selfMade, undefined, others.selfMade),
    certificate(malloryParty.sender, own, "mail", others.tooLong, { notBefore: now - day, notAfter: now + 30 * day }),
    certificate(carol.sender, carol.addresses, "mail", carol.key)
  ],
  operatorsMail: [
    certificate("operator", ["operator@mail.example"], "mail", others.selfMade, undefined, others.selfMade)
  ]
}

/** Her key was replaced an hour ago: what it signed until then is good. A second statement, of a later end, changes nothing. */
export const grace = party("sb-7777bbbb", 210)
const graceEnd = now - 3600

const revocation = (
  number: number,
  of: { readonly sender: Revocation["subject"]; readonly key: { readonly keyId: Revocation["keyId"] } },
  more: Partial<Revocation> = {},
  by = certifier
) =>
  signRevocation(by, {
    version: 1,
    install,
    number,
    subject: of.sender,
    keyId: of.key.keyId,
    reason: "lost",
    at: now - day,
    ...more
  })

export const revocations = [
  revocation(1, dora),
  revocation(2, grace, { reason: "replaced", at: graceEnd - 300, until: graceEnd }),
  revocation(3, grace, { reason: "replaced", at: graceEnd - 300, until: now + day })
]

const [first, second, third] = revocations
const strange = signingKeyFromSeed(counting(220))

/** Lists as a store gives them, and whether a reader who has seen `highest` before takes them. */
export const revocationLists = [
  { name: "as it is", highest: 0, revocations: [first, second, third], taken: true },
  { name: "as it is, read before", highest: 3, revocations: [first, second, third], taken: true },
  { name: "none, and there never was one", highest: 0, revocations: [], taken: true },
  { name: "none, and there was one", highest: 1, revocations: [], taken: false },
  { name: "the last removed", highest: 3, revocations: [first, second], taken: false },
  { name: "the first removed", highest: 0, revocations: [second, third], taken: false },
  { name: "one in the middle removed", highest: 0, revocations: [first, third], taken: false },
  { name: "in another order", highest: 3, revocations: [first, third, second], taken: false },
  { name: "one twice", highest: 0, revocations: [first, second, second, third], taken: false },
  { name: "signed by another", highest: 0, revocations: [first, revocation(2, grace, {}, strange)], taken: false },
  {
    name: "of another install",
    highest: 0,
    revocations: [first, revocation(2, grace, { install: InstallName.make("other") })],
    taken: false
  },
  {
    name: "one letter changed",
    highest: 0,
    revocations: [first === undefined ? first : { ...first, revocation: first.revocation.replace("lost", "last") }],
    taken: false
  }
]
