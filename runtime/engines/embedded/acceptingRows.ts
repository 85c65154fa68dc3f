/** Whether a sandbox's row takes messages, as the queue asks in the transaction that stores one. */
import * as Schema from "effect/Schema"
import { reader, text } from "../../adapters/disk/columns.ts"
import type { Statements } from "../../adapters/disk/Sqlite.ts"
import { isLater, type SandboxId } from "../../domain/sandbox/Ids.ts"
import { SandboxRow } from "../../domain/sandbox/Sandbox.ts"
import { whyNotAccepting } from "../../ports/QueueRules.ts"

const { fields } = SandboxRow
const readJudged = reader(
  "sandbox",
  Schema.fromJsonString(Schema.Struct({
    desired: fields.desired,
    generation: fields.generation,
    lastAcceptedTs: fields.lastAcceptedTs,
    status: fields.status
  }))
)

type Judged = Pick<SandboxRow, "desired" | "generation" | "lastAcceptedTs" | "status">

/** What rows say, by their text as it was last read: most messages find it as it was, and decoding costs more than storing. */
export const judging = () => {
  const known = new Map<SandboxId, { readonly attributes: string; readonly row: Judged }>()
  /** Why the sandbox's row takes no message, if it takes none, and the newest `ts` in it. */
  return (tables: Statements, sandbox: SandboxId, generation: string) => {
    const found = tables.get("SELECT attributes, accepted_ts FROM sandboxes WHERE id = ?", sandbox)
    if (found === undefined) {
      known.delete(sandbox)
      return { why: whyNotAccepting(undefined, generation), newest: "" }
    }
    const attributes = text(found, "attributes")
    const last = known.get(sandbox)
    const row = last?.attributes === attributes ? last.row : readJudged(attributes)
    if (last?.row !== row) known.set(sandbox, { attributes, row })
    const accepted = text(found, "accepted_ts")
    const stored = row.lastAcceptedTs ?? ""
    return { why: whyNotAccepting(row, generation), newest: isLater(accepted, stored) ? accepted : stored }
  }
}
