/** Failures of ports, kernel and parts as a person sees them: code, what, why, next. */
import type { DirectoryTampered } from "../runtime/kernel/identity/IdentityKeys.ts"
import type { SandboxRefused } from "../runtime/kernel/sandboxes/SandboxErrors.ts"
import type { BridgeRefused } from "../runtime/ports/Bridge.ts"
import type { QueueMissing, SandboxEnding } from "../runtime/ports/QueueRules.ts"
import type { HostFailed } from "../runtime/ports/SandboxHost.ts"
import type { StoreError } from "../runtime/ports/StoreError.ts"
import { exitOf, KmError, kmError } from "./KmError.ts"
import type { WorkspaceError } from "./local/workspace/WorkspaceError.ts"
import type { SlackRefusal } from "./local/workspace/WorkspaceError.ts"

/** Everything that a command may fail with. */
export type Trouble =
  | KmError
  | StoreError
  | SandboxRefused
  | BridgeRefused
  | HostFailed
  | QueueMissing
  | SandboxEnding
  | WorkspaceError
  | SlackRefusal
  | DirectoryTampered

/** One line per kind: a new kind of trouble does not compile until it has one. */
const table: { readonly [Tag in Trouble["_tag"]]: (error: Extract<Trouble, { readonly _tag: Tag }>) => KmError } = {
  KmError: (error) => error,
  StoreError: (error) =>
    kmError("KM-CLI-015", `${error.port} could not ${error.operation} (${error.reason})`, error.message),
  SandboxRefused: (error) =>
    new KmError({
      code: error.code,
      exit: exitOf(error.code),
      what: error.step === "" ? error.sandbox : `${error.sandbox}: the step "${error.step}" failed`,
      why: error.reason,
      next: error.remedy
    }),
  BridgeRefused: (error) =>
    error.code === "unavailable"
      ? kmError("KM-CLI-026", `the bridge did not answer ${error.action}`, error.detail)
      : kmError("KM-CLI-029", `the bridge refused ${error.action}`, `${error.detail} (${error.code})`),
  HostFailed: (error) => kmError("KM-CLI-030", `the host could not ${error.operation} ${error.sandbox}`, error.detail),
  QueueMissing: (error) => kmError("KM-CLI-031", `${error.queue} takes no messages`, error.message),
  SandboxEnding: (error) => kmError("KM-CLI-031", `${error.sandbox} takes no messages`, error.message),
  DirectoryTampered: ({ detail, what }) =>
    new KmError({
      code: "KM-EML-030",
      exit: 1,
      what,
      why: detail,
      next: "restore the rows from a backup, and look for who can write the engine's tables"
    }),
  WorkspaceError: (error) => kmError("KM-CLI-021", "the local workspace failed", error.detail, error.remedy),
  SlackRefusal: (error) => kmError("KM-CLI-021", "the local workspace refused", error.message)
}

/** What a person is told. */
export const troubleOf = (error: Trouble): KmError => {
  const tell = table[error._tag] as (error: Trouble) => KmError
  return tell(error)
}

/** True for what the table knows; everything else comes from the command line's own parser. */
export const isTrouble = (error: { readonly _tag: string }): error is Trouble => Object.hasOwn(table, error._tag)
