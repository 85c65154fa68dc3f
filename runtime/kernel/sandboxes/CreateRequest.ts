/** What a create is asked for, the steps that it tells, and how it refuses. */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Profile } from "../../domain/profile/Profile.ts"
import type { Alias, InstallName, SandboxId } from "../../domain/sandbox/Ids.ts"
import { SandboxRefused } from "./SandboxErrors.ts"

export interface CreateRequest {
  readonly id: SandboxId
  readonly install: InstallName
  readonly alias: Alias | undefined
  readonly profile: Profile
  /** The operator accepts an agent without a jail. */
  readonly unconfined: boolean
  /** Of the install; `{install}.invalid` where it names none. */
  readonly mailDomain?: string | undefined
  /** From the start of the runtime until it has polled its queue. */
  readonly readyWithin: Duration.Duration
}

/** The steps in order, as `km create` shows them. */
export type CreateStep = "row" | "key" | "identity" | "github" | "queue" | "channel" | "start" | "ready"
export type CreateProgress = (step: CreateStep, detail: string) => Effect.Effect<void>

/** A step could not be done; what there was is undone, so the same command begins anew. */
export const failed = (id: SandboxId, step: CreateStep, reason: string, remedy = "then run the same command again") =>
  new SandboxRefused({ code: "KM-CLI-103", sandbox: id, step, reason, remedy })

/** The id is taken, or its sandbox is on its way out. */
export const conflict = (id: SandboxId, reason: string, remedy: string) =>
  new SandboxRefused({ code: "KM-CLI-102", sandbox: id, step: "row", reason, remedy })
