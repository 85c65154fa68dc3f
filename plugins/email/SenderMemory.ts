/**
 * What the directory's rows were found to say, kept while they are the same rows: checking them costs ten times what
 * reading them does, and every message asks for two senders.
 */
import * as Effect from "effect/Effect"
import type { Revocations } from "../../runtime/domain/identity/Revocations.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import type { DirectoryTampered } from "./protocol/MailErrors.ts"
import { certifiedSender, type KnownSender, readRevocations } from "./protocol/SenderDirectory.ts"

/** Senders that are kept; of more, those asked for first are checked again. A sender takes some kilobytes. */
const maxSenders = 1_000

type Rows = Omit<Parameters<typeof certifiedSender>[0], "certifierPublicKey" | "install" | "revocations">

interface Checked {
  /** Of the rows. */
  readonly digest: string
  readonly revocations: Revocations
}

/** Of one certifier and install; what is kept never outlives a change of a row, since the rows are its name. */
export const makeSenderMemory = (of: Pick<Parameters<typeof certifiedSender>[0], "certifierPublicKey" | "install">) => {
  let checked: Checked | undefined
  const senders = new Map<string, KnownSender | undefined>()
  return {
    /** As `readRevocations`. */
    revocations: (
      signed: Parameters<typeof readRevocations>[2],
      atLeast: number
    ): Effect.Effect<Checked, DirectoryTampered> => {
      const digest = sha256Hex(JSON.stringify(signed))
      if (checked?.digest === digest && checked.revocations.highest >= atLeast) return Effect.succeed(checked)
      return Effect.map(
        readRevocations(of.certifierPublicKey, of.install, signed, atLeast),
        (revocations) => checked = { digest, revocations }
      )
    },
    /** As `certifiedSender`. */
    sender: (rows: Rows, { digest, revocations }: Checked): KnownSender | undefined => {
      const name = sha256Hex(JSON.stringify([digest, rows.sender, rows.mail, rows.boxes]))
      if (senders.has(name)) return senders.get(name)
      const found = certifiedSender({ ...of, ...rows, revocations })
      const [oldest] = senders.keys()
      if (senders.size >= maxSenders && oldest !== undefined) senders.delete(oldest)
      senders.set(name, found)
      return found
    }
  }
}
