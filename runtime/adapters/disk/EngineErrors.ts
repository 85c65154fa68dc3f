/** What the embedded engine refuses to work with, and the stable codes of everything it can report to a person. */
import * as Schema from "effect/Schema"
import type { StoreError } from "../../ports/StoreError.ts"

export const EngineCode = Schema.Literals([
  "KM-ENG-001",
  "KM-ENG-002",
  "KM-ENG-003",
  "KM-ENG-004",
  "KM-ENG-005",
  "KM-ENG-006",
  "KM-ENG-007",
  "KM-ENG-008",
  "KM-ENG-009",
  "KM-ENG-015"
])
export type EngineCode = typeof EngineCode.Type

/** The state directory or a file in it is not as it must be; nothing was read from it and nothing was changed. */
export class EngineRefused extends Schema.TaggedError<EngineRefused>()("EngineRefused", {
  code: EngineCode,
  detail: Schema.String,
  /** What to do, as a sentence or the command to run. */
  remedy: Schema.String
}) {
  override get message(): string {
    return `${this.code}: ${this.detail}; ${this.remedy}`
  }
}

/** The code under which a store's failure is shown. */
export const storeErrorCodes: Readonly<Record<StoreError["reason"], string>> = {
  Full: "KM-ENG-010",
  Corrupt: "KM-ENG-011",
  Denied: "KM-ENG-012",
  Unavailable: "KM-ENG-013",
  TooLarge: "KM-ENG-014"
}

/** Listed in `docs/errors.md`. */
export const errorCodes: ReadonlyArray<{ readonly code: string; readonly what: string; readonly remedy: string }> = [
  {
    code: "KM-ENG-001",
    what: "a directory of the state directory is open to other users",
    remedy: "run the `chmod 700` that the message shows"
  },
  {
    code: "KM-ENG-002",
    what: "a file or directory of the state directory belongs to another user",
    remedy: "run `km` as its owner, or point KM_STATE at a directory of your own"
  },
  {
    code: "KM-ENG-003",
    what: "a file of the state directory is open to other users",
    remedy: "run the `chmod 600` that the message shows, and rotate what may have been read"
  },
  {
    code: "KM-ENG-004",
    what: "something in the state directory is not of the kind it must be (a link, a file in place of a directory)",
    remedy: "move it away; the engine makes it anew"
  },
  {
    code: "KM-ENG-005",
    what: "the state directory cannot be read or created",
    remedy: "check that its parent exists and is yours, or set KM_STATE"
  },
  {
    code: "KM-ENG-006",
    what: "there is no install in this state directory",
    remedy: "run `km up`, or set KM_STATE to the state directory of a running install"
  },
  {
    code: "KM-ENG-007",
    what: "install.json cannot be understood",
    remedy: "restore it from a backup; the message says which field is wrong"
  },
  {
    code: "KM-ENG-008",
    what: "another process already does this for the same sandbox or install",
    remedy: "stop that process first; its id is in the message"
  },
  {
    code: "KM-ENG-009",
    what: "the database was written by a newer version of km",
    remedy: "upgrade km; a newer database is never taken back"
  },
  {
    code: "KM-ENG-010",
    what: "the disk is full, or the store's own limit is reached",
    remedy: "free some space; work that waits goes on by itself"
  },
  {
    code: "KM-ENG-011",
    what: "a database or row cannot be read; nothing was repaired or deleted",
    remedy: "restore the file from a backup, or move it away and create the sandbox again"
  },
  {
    code: "KM-ENG-012",
    what: "permission denied in the state directory",
    remedy: "check the owner and the modes: 0700 directories, 0600 files"
  },
  {
    code: "KM-ENG-013",
    what: "a store is busy or closed",
    remedy: "it is tried again; when it lasts, look for a stopped process that holds the database"
  },
  {
    code: "KM-ENG-014",
    what: "a message or object is over the store's limit",
    remedy: "send less; nothing was stored"
  },
  {
    code: "KM-ENG-015",
    what: "install.json asks for the engine aws and does not say where that is",
    remedy: "give it `aws` with `region` and `accountId`, as docs/aws.md shows"
  }
]
