/**
 * A lock between processes that the kernel gives back when its holder dies, however it dies: an SQLite file on which a
 * transaction stays open. A pid file would need to guess whether a pid is still the same process.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as fs from "node:fs"
import process from "node:process"
import { DatabaseSync } from "node:sqlite"
import { EngineRefused } from "./EngineErrors.ts"
import { errorCode, privateFileMode, writeFileAtomically } from "./PrivateFiles.ts"

/** Beside the lock, for the message only: which process holds it. Never opened by a reader of the lock itself. */
const holderFile = (file: string): string => `${file}.holder`

const holderOf = (file: string): string => {
  try {
    return `process ${fs.readFileSync(holderFile(file), "utf8").trim()}`
  } catch {
    return "another process"
  }
}

/** The process that says it holds the lock, if it lives; for people to be shown, since only taking a lock proves it. */
export const lockHolder = (file: string): number | undefined => {
  try {
    const pid = Number(fs.readFileSync(holderFile(file), "utf8").trim())
    if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
    process.kill(pid, 0)
    return pid
  } catch (cause) {
    // Another user's process lives too.
    return errorCode(cause) === "EPERM" ? Number(fs.readFileSync(holderFile(file), "utf8").trim()) : undefined
  }
}

/**
 * Holds `file` until the scope closes or the process dies; fails at once with KM-ENG-008 while another process, or
 * another part of this one, holds it. `what` completes "… already …". Nothing else may open `file`: closing any
 * descriptor of it in this process would drop the kernel's lock.
 */
export const holdLock = (file: string, what: string): Effect.Effect<void, EngineRefused, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.suspend(() => {
        try {
          fs.closeSync(fs.openSync(file, "ax", privateFileMode))
        } catch {
          // It exists, or cannot be made: opening it says which.
        }
        let database: DatabaseSync | undefined
        try {
          database = new DatabaseSync(file, { timeout: 0 })
          database.exec("BEGIN EXCLUSIVE")
          writeFileAtomically(holderFile(file), String(process.pid))
          return Effect.succeed(database)
        } catch (cause) {
          database?.close()
          const why = cause instanceof Error ? cause.message : "unknown failure"
          return Effect.fail(
            /locked|busy/.test(why)
              ? new EngineRefused({
                code: "KM-ENG-008",
                detail: `${holderOf(file)} already ${what}`,
                remedy: "stop it first"
              })
              : new EngineRefused({
                code: "KM-ENG-005",
                detail: `the lock ${file} cannot be taken: ${why}`,
                remedy: "check its directory"
              })
          )
        }
      }),
      (database) =>
        Effect.sync(() => {
          fs.rmSync(holderFile(file), { force: true })
          database.close()
        })
    )
  )
