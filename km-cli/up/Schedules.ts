/** What `km up` needs to run schedules: the runners of this build, over the install's own parts. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type { Install } from "../../runtime/domain/Install.ts"
import { makeSandboxActions } from "../../runtime/kernel/SandboxActions.ts"
import { ScheduleRunner } from "../../runtime/kernel/ScheduleRunner.ts"
import { ActionRunners } from "../../runtime/ports/ActionRunner.ts"
import type { Backend } from "../Backend.ts"
import { channelOwners, verdict } from "../commands/Validate.ts"
import { kmError } from "../KmError.ts"
import { findingLine, readProfile } from "../profile/ProfileFile.ts"
import { makeMailActions } from "./MailActions.ts"

/** The same verdict as `km create`, on the file as it is when the action begins. */
const profileReader = (backend: Backend, files: Context.Context<FileSystem.FileSystem | Path.Path>) => (path: string) =>
  Effect.gen(function*() {
    const report = yield* readProfile(path, yield* channelOwners(backend))
    if (report.profile !== undefined) return report.profile
    return yield* kmError("KM-CLI-006", verdict(report), report.findings.map(findingLine).join("; "))
  }).pipe(Effect.provideContext(files))

/** One for each room that can do an action. */
const runners = (backend: Backend, install: Install, certifies: boolean) =>
  Layer.effect(
    ActionRunners,
    Effect.gen(function*() {
      const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const sandboxes = yield* makeSandboxActions({
        install,
        creates: certifies,
        readProfile: profileReader(backend, files)
      })
      return [sandboxes, yield* makeMailActions(backend, install, certifies)]
    })
  )

/**
 * Runs this install's schedules for as long as it is used; one per install, as `km up` is. `certifies`: the certifier's
 * key is within reach.
 */
export const schedules = (backend: Backend, install: Install, certifies: boolean) =>
  ScheduleRunner.layer.pipe(Layer.provide(runners(backend, install, certifies)))
