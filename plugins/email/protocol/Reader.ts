/** Who reads, and whom the reader knows: all that verifying needs beside the message. */
import type * as Effect from "effect/Effect"
import type { InstallName, KeyId, SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { MailAddress } from "./MailAddress.ts"
import type { BoxKey } from "./naclBox.ts"
import type { KnownSender } from "./SenderDirectory.ts"
import type { ReadLimits } from "./wire.ts"

/** Whom the reader knows. Entries come from `certifiedSender` and `v1Sender`. */
export interface MailDirectory<E> {
  /** `key`: that the message names, so that one made a moment ago is found. */
  readonly bySender: (sender: SenderId, key?: KeyId) => Effect.Effect<KnownSender | undefined, E>
  /** Whoever may write from this address, in lower case. */
  readonly byAddress: (address: string) => Effect.Effect<KnownSender | undefined, E>
}

export interface Reader {
  readonly install: InstallName
  /** The reader's own addresses: by id, and by alias where it has one. */
  readonly addresses: ReadonlyArray<MailAddress>
  /** Its X25519 keys, also those from before a rotation. */
  readonly boxes: ReadonlyArray<BoxKey>
  readonly nowSeconds: number
  readonly limits?: ReadLimits
}
