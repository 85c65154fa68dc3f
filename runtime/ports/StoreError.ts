/** The one failure of every storage port: callers act on the reason, never on a driver's own code. */
import * as Schema from "effect/Schema"

/**
 * `Full`: no space; stop taking work and say so once. `Corrupt`: a page or row cannot be read; nothing is repaired or
 * deleted by us. `Denied`: permissions or a wrong owner. `TooLarge`: over the port's limit; trying again cannot help.
 * `Unavailable`: try again later (busy, network, closed).
 */
export class StoreError extends Schema.TaggedError<StoreError>()("StoreError", {
  port: Schema.String,
  operation: Schema.String,
  reason: Schema.Literals(["Full", "Corrupt", "Denied", "TooLarge", "Unavailable"]),
  detail: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const advice = {
      Full: "free some space; the work that waits goes on by itself",
      Corrupt: "nothing was changed; restore the file from a backup or move it away",
      Denied: "check the owner and the mode (0700 directories, 0600 files)",
      TooLarge: "nothing was stored; send less",
      Unavailable: "it is tried again"
    }[this.reason]
    return `${this.port}.${this.operation} failed (${this.reason.toLowerCase()}): ${this.detail}; ${advice}`
  }
}
