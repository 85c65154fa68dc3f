/** Who is who for one account: its own keys, and the senders and recipients of the install as the certifier left them. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import {
  directoryPinPath,
  mailBoxHistory,
  mailBoxHistoryPath,
  mailBoxKeyPath,
  mailboxKeyPath,
  mailSigningKeyFromText,
  mailSigningKeyPath
} from "../../runtime/domain/identity/MailIdentity.ts"
import type { OlderSender } from "../../runtime/domain/install/Install.ts"
import type { Profile } from "../../runtime/domain/profile/Profile.ts"
import type { InstallName, KeyId, SenderId } from "../../runtime/domain/sandbox/Ids.ts"
import { asciiLowerCase } from "../../runtime/domain/text/Ascii.ts"
import { directoryHolding } from "../../runtime/ports/Directory.ts"
import { Identities } from "../../runtime/ports/Identities.ts"
import { Ledger } from "../../runtime/ports/Ledger.ts"
import { type MailRelay, sandboxAt } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Secrets } from "../../runtime/ports/Secrets.ts"
import { postRefused } from "./PostCodes.ts"
import { type MailAddress, mailAddress } from "./protocol/MailAddress.ts"
import { type BoxKey, boxKeyFromPrivate } from "./protocol/naclBox.ts"
import type { MailDirectory } from "./protocol/Reader.ts"
import { keyValidAt, type SenderBox, v1Sender } from "./protocol/SenderDirectory.ts"
import { makeSenderMemory } from "./SenderMemory.ts"

export interface MailAccountOptions {
  readonly owner: SenderId
  readonly install: InstallName
  /** 32 raw bytes. */
  readonly certifierPublicKey: Uint8Array
  readonly domain: string
  readonly v1Senders?: ReadonlyArray<OlderSender>
  /** Shown beside the address; empty for none. */
  readonly name: string
  readonly policy: Profile["spec"]["email"]
  /** Absent: recipients outside of the install are refused. */
  readonly relay?: MailRelay
}

/** The fact of the ledger under which the highest revocation seen is remembered. */
export const lastRevocation = "mail-last-revocation"

/** Of stored texts; what is no key is left out. */
const boxKeys = (texts: ReadonlyArray<string>): ReadonlyArray<BoxKey> =>
  texts.map((text) => Buffer.from(text.trim(), "base64")).filter(({ length }) => length === 32).map(boxKeyFromPrivate)

/** Whether readers take what this key writes now. */
export const believed = (
  { keyId }: { readonly keyId: KeyId },
  certified: ReadonlyArray<Pick<SenderBox, "keyId" | "revoked" | "window">> = [],
  seconds: number
): boolean => certified.some((one) => one.keyId === keyId && !one.revoked && keyValidAt(one, seconds))

export const makeAccountDirectory = Effect.fnUntraced(function*(options: MailAccountOptions) {
  const identities = yield* Identities
  const ledger = yield* Ledger
  const sandboxes = yield* Sandboxes
  const secrets = yield* Secrets
  const { certifierPublicKey, domain, install, owner, relay } = options
  const memory = makeSenderMemory({ certifierPublicKey, install })

  const secret = (path: string) =>
    Effect.map(secrets.get(path), (found) => Option.getOrUndefined(Option.map(found, Redacted.value)))

  const keys = Effect.gen(function*() {
    const text = yield* secret(mailSigningKeyPath(owner))
    const key = text === undefined ? undefined : mailSigningKeyFromText(text)
    const seal = yield* secret(mailboxKeyPath(owner))
    if (key === undefined || seal === undefined) return yield* postRefused("KM-EML-107", owner)
    const [box] = boxKeys([(yield* secret(mailBoxKeyPath(owner))) ?? ""])
    return { key, seal: Buffer.from(seal, "base64"), box }
  })

  /** What this reader has seen before, and what it was told when it was made: it never accepts fewer. */
  const highest = Effect.gen(function*() {
    const seen = Number(Option.getOrElse(yield* ledger.recall(lastRevocation), () => "0"))
    const pinned = Number((yield* secret(directoryPinPath(owner))) ?? "0")
    return Math.max(seen, pinned)
  })

  /** `key`: what a message names; a sender and a key that were made a moment ago are looked for anew. */
  const bySender = Effect.fnUntraced(function*(sender: SenderId, key?: KeyId) {
    const atLeast = yield* highest
    const { keysOf, revocations } = yield* directoryHolding(
      identities,
      ({ holds, keysOf: keysIn }) => key === undefined ? keysIn(sender, "mail").length > 0 : holds(sender, key),
      { atLeast }
    )
    const read = yield* memory.revocations(revocations, atLeast)
    const last = read.revocations.highest
    if (last > atLeast) yield* ledger.remember(lastRevocation, String(last))
    return memory.sender({ sender, mail: keysOf(sender, "mail"), boxes: keysOf(sender, "mail-box") }, read)
  })

  /** Who is meant, and by which address: an id before an alias, and no address but the install's own. */
  const resolve = Effect.fnUntraced(function*(text: string) {
    const wanted = asciiLowerCase(text.trim())
    const operator = mailAddress(`operator@${domain}`)
    if (operator !== undefined && (wanted === "operator" || wanted === operator)) {
      return { owner: "operator" as const, address: operator }
    }
    const at = wanted.lastIndexOf("@")
    const found = Option.getOrUndefined(
      yield* at === -1 ? sandboxes.named(wanted) : sandboxAt(sandboxes, wanted)
    )
    const address = mailAddress(at === -1 ? found?.mailAddresses?.[0] ?? "" : wanted)
    if (found?.mailAddresses === undefined || found.status === "destroying" || address === undefined) return undefined
    return { owner: found.id, address }
  })

  /** An address that the relay takes; never one of our own domain, where it would only come back. */
  const outsideAddress = (text: string): MailAddress | undefined => {
    const address = relay === undefined ? undefined : mailAddress(asciiLowerCase(text.trim()))
    // Nobody can be reached below `.invalid`, which is where an install without a domain of its own has its sandboxes:
    // what was written for one that is gone, or before a change of the domain, must not leave the machine.
    return address === undefined || address.endsWith(`@${domain}`) || address.endsWith(".invalid") ? undefined : address
  }

  const older = (options.v1Senders ?? []).flatMap(({ addresses, publicKey, sender }) => {
    const known = v1Sender(sender, publicKey, addresses.filter((address) => !address.endsWith(`@${domain}`)))
    return known === undefined ? [] : [known]
  })
  const directory: MailDirectory<Effect.Error<ReturnType<typeof bySender>>> = {
    // Who is certified here has promised more than the older form, and is never read as one of its writers.
    bySender: (sender, key) =>
      Effect.map(bySender(sender, key), (known) => known ?? older.find((other) => other.sender === sender)),
    byAddress: (address) =>
      Effect.flatMap(
        resolve(address),
        (found) =>
          found === undefined
            ? Effect.succeed(
              older.find((other) => other.keys.some(({ addresses }) => addresses.some((own) => own === address)))
            )
            : bySender(found.owner)
      )
  }

  /** Keys that came before the present one, for what was encrypted to them. */
  const olderBoxes = Effect.map(
    secret(mailBoxHistoryPath(owner)),
    (history) => boxKeys(mailBoxHistory(history ?? ""))
  )

  return { keys, olderBoxes, bySender, resolve, outsideAddress, directory }
})
export type AccountDirectory = Effect.Success<ReturnType<typeof makeAccountDirectory>>
