/** What client and bridge both have to know of an action beside its schema. The compiler asks for a new one's. */
import type { ActionName } from "./BridgeProtocol.ts"

export interface ActionTraits {
  /** `operator`: that only the operator key may ask for. */
  readonly asks: "anybody" | "operator"
  /**
   * `once`: the bridge keeps the first result under the request's id. `again`: repeating it changes nothing, as it reads, sets
   * to a value, has a number that decides, or is held by a token.
   */
  readonly repeats: "once" | "again"
  /** Its answer is looked up, not made: the client asks again like for others, but a crash may forget it. */
  readonly isLookup: boolean
  /** Bytes of a file move meanwhile: it may take minutes. */
  readonly movesFile: boolean
}

const usual: ActionTraits = { asks: "anybody", repeats: "once", isLookup: false, movesFile: false }
const again: ActionTraits = { ...usual, repeats: "again" }
const lookup: ActionTraits = { ...again, isLookup: true }

export const actionTraits: Readonly<Record<ActionName, ActionTraits>> = {
  "post": usual,
  "update": usual,
  "react": usual,
  "unreact": usual,
  "live.set": again,
  "upload": { ...usual, movesFile: true },
  "file.get": { ...usual, isLookup: true, movesFile: true },
  "permalink": lookup,
  "thread.put": again,
  "thread.lookup": lookup,
  "user.lookup": lookup,
  "activity": again,
  "repository.refresh": again,
  "ask": usual,
  "ask.close": again,
  "pull.hold": again,
  "pull.release": again,
  "channel.ensure": { ...usual, asks: "operator" },
  "archive": { ...usual, asks: "operator" },
  "test": { ...lookup, asks: "operator" },
  "state": { ...lookup, asks: "operator" },
  "purge": { ...usual, asks: "operator" }
}
