/** A receipt names the row, which receive of it was meant, and the ticket that came with it. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { GroupId, TurnKey } from "../../domain/sandbox/Ids.ts"

export interface Receipt {
  /** Unix milliseconds of this receive. */
  readonly receivedAt: number
  /** Of its own for each receive; what the row is asked for. */
  readonly id: string
  readonly key: TurnKey
  readonly group: GroupId
  /** SQS's receipt handle. */
  readonly handle: string
}

/** The handle comes last: it alone may contain a slash. */
export const writeReceipt = ({ group, handle, id, key, receivedAt }: Receipt): string =>
  [receivedAt, id, key, group, handle].join("/")

const decode = Schema.decodeUnknownOption(Schema.Struct({
  receivedAt: Schema.Int,
  id: Schema.NonEmptyString,
  key: TurnKey,
  group: GroupId,
  handle: Schema.String
}))

export const readReceipt = (text: string): Receipt | undefined => {
  const [receivedAt, id, key, group, ...handle] = text.split("/")
  return Option.getOrUndefined(
    decode({ receivedAt: Number(receivedAt), id, key, group, handle: handle.join("/") })
  )
}
