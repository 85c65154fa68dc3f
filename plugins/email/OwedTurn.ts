/**
 * The turn of the mail in hand: written down before its mail is filed, and taken by the pipeline once it is. So mail is in
 * the mailbox before an agent hears of it, and a crash between the two loses no turn. One at a time: mail is judged in its
 * order, and the next is not looked at before this turn is taken.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest } from "../../runtime/domain/turn/Turn.ts"
import type { Ledger } from "../../runtime/ports/Ledger.ts"
import type { Mailbox } from "../../runtime/ports/Mail.ts"
import type { Turns } from "../../runtime/ports/Turns.ts"
import { mailOriginOf } from "./MailTurns.ts"

/** The fact of the ledger that holds it; empty when none is owed. */
const fact = "mail-turn-owed"

const RequestJson = Schema.fromJsonString(TurnRequest)
const encode = Schema.encodeSync(RequestJson)
const decode = Schema.decodeUnknownOption(RequestJson)

export const makeOwedTurn = ({ ledger, mailbox, owner, turns }: {
  readonly owner: SandboxId
  readonly ledger: Ledger["Service"]
  readonly mailbox: Mailbox["Service"]
  readonly turns: Turns["Service"]
}) => ({
  /** Durable when it returns; the mail may be filed then. */
  owe: (request: TurnRequest) => ledger.remember(fact, encode(request)),

  /**
   * Gives what is owed to the pipeline, which knows it again. Of a mail that is not in the inbox nothing is owed: it comes
   * again and is judged anew.
   */
  settle: Effect.gen(function*() {
    const kept = Option.getOrElse(yield* ledger.recall(fact), () => "")
    if (kept === "") return
    const request = Option.getOrUndefined(decode(kept))
    const mail = request === undefined ? undefined : mailOriginOf(request.origin)
    if (request !== undefined && mail !== undefined) {
      const row = yield* mailbox.get(owner, mail.delivery)
      if (Option.exists(row, ({ folder }) => folder === "inbox")) {
        const taken = yield* turns.submit(request, undefined)
        yield* Effect.logInfo("a mail starts a turn").pipe(Effect.annotateLogs({ turn: request.key, taken }))
      }
    }
    yield* ledger.remember(fact, "")
  })
})
