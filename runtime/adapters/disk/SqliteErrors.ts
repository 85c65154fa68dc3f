/** SQLite's result codes as the reasons that callers act on. */
import { StoreError } from "../../ports/StoreError.ts"
import { errorCode } from "./PrivateFiles.ts"

/** A stored row that does not say what we once wrote. */
export class RowUnreadable extends Error {
  override readonly name = "RowUnreadable"
}

/** Primary result codes (sqlite.org/rescode.html). FULL is also what a full disk gives; IOERR is a disk that fails. */
const reasonOfCode: Readonly<Record<number, StoreError["reason"] | "Busy">> = {
  3: "Denied",
  5: "Busy",
  6: "Busy",
  8: "Denied",
  10: "Full",
  11: "Corrupt",
  13: "Full",
  23: "Denied",
  26: "Corrupt"
}

/** The same by SQLite's own texts (sqlite3_errstr), because Deno's `node:sqlite` gives no code for most of them. */
const reasonOfText: ReadonlyArray<readonly [RegExp, StoreError["reason"] | "Busy"]> = [
  [/^database (table )?is locked/, "Busy"],
  [/^database or disk is full/, "Full"],
  [/^disk I\/O error/, "Full"],
  [/^database disk image is malformed/, "Corrupt"],
  [/^file is not a database/, "Corrupt"],
  [/^attempt to write a readonly database/, "Denied"],
  [/^access permission denied/, "Denied"],
  [/^authorization denied/, "Denied"]
]

/** What a thrown value stands for; `undefined` when it is not SQLite's, which is a bug of ours. */
export const reasonOf = (cause: unknown): StoreError["reason"] | "Busy" | undefined => {
  if (cause instanceof RowUnreadable) return "Corrupt"
  const code = errorCode(cause)
  if (code === "ERR_INVALID_STATE") return "Unavailable"
  if (code !== "ERR_SQLITE_ERROR" || !(cause instanceof Error)) return undefined
  const number = "errcode" in cause && typeof cause.errcode === "number"
    ? reasonOfCode[cause.errcode & 0xff]
    : undefined
  return number ?? reasonOfText.find(([text]) => text.test(cause.message))?.[1] ?? "Unavailable"
}

/** True when the file itself is damaged, so that nothing may be written to it any more. One odd row is not that. */
export const isDamage = (cause: unknown): boolean => !(cause instanceof RowUnreadable) && reasonOf(cause) === "Corrupt"

export const isBusy = (cause: unknown): boolean => reasonOf(cause) === "Busy"

/** The typed failure for a thrown value; `undefined` for a bug. */
export const storeError = (port: string, operation: string, cause: unknown): StoreError | undefined => {
  if (cause instanceof StoreError) return cause
  const reason = reasonOf(cause)
  if (reason === undefined) return undefined
  const text = cause instanceof Error ? cause.message : "unknown failure"
  return new StoreError({
    port,
    operation,
    reason: reason === "Busy" ? "Unavailable" : reason,
    detail: reason === "Busy" ? `another process holds the database (${text})` : text,
    cause
  })
}
