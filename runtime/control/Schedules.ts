/** What runs this install's schedules: the runners of this build, over the install's own parts. */
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as path from "node:path"
import { mailDesks } from "../../plugins/index.ts"
import { findingLine, readProfile, verdict } from "../../profiles/ProfileFile.ts"
import { agentKinds } from "../adapters/agents.ts"
import { holdLock } from "../adapters/disk/ProcessLock.ts"
import { statePaths } from "../adapters/disk/StateDirectory.ts"
import type { Install } from "../domain/install/Install.ts"
import { makeMailActions } from "../kernel/mail/MailActions.ts"
import { NoticeMail } from "../kernel/mail/NoticeMail.ts"
import { deskOptions, ensureOperator, operatorOwner } from "../kernel/mail/OperatorMail.ts"
import { ownersOfChannels } from "../kernel/sandboxes/ChannelPlan.ts"
import { makeSandboxActions } from "../kernel/sandboxes/SandboxActions.ts"
import { ScheduleRunner } from "../kernel/schedules/ScheduleRunner.ts"
import { ActionRunners } from "../ports/ActionRunner.ts"
import { MailTrouble } from "../ports/MailDesk.ts"
import { Sandboxes } from "../ports/Sandboxes.ts"

export interface SchedulesOptions {
  readonly state: string
  readonly install: Install
  /** The certifier's key is within reach. */
  readonly certifies: boolean
}

/** The profile's file has errors, all of them in one line. */
class ProfileFaulty extends Data.TaggedError("ProfileFaulty")<{ readonly message: string }> {}

/** The same verdict as `km create`, on the file as it is when the action begins. */
const profileReader =
  (sandboxes: Sandboxes["Service"], files: Context.Context<FileSystem.FileSystem | Path.Path>) => (file: string) =>
    Effect.gen(function*() {
      const report = yield* readProfile(file, {
        agents: agentKinds,
        ownerOfChannel: ownersOfChannels(yield* sandboxes.list)
      })
      if (report.profile !== undefined) {
        if (report.profile.spec.sourceAccess.mode !== "audit") return report.profile
        return yield* new ProfileFaulty({
          message: "KM-CLI-005: refs would not be enforced (sourceAccess.mode: audit), which nobody can accept here"
        })
      }
      return yield* new ProfileFaulty({
        message: `KM-CLI-006: ${verdict(report)}: ${report.findings.map(findingLine).join("; ")}`
      })
    }).pipe(Effect.provideContext(files))

/** For now, and taken up again: the keys or their store could not be reached. */
const notSent = (why: string) =>
  new MailTrouble({
    code: "KM-EML-104",
    exit: 1,
    what: "The mail store or the identity directory failed.",
    why,
    next: "Follow the reason; try again."
  })

/** The operator's desk; its mail identity is kept certified where that is possible. */
const desk = ({ certifies, install, state }: SchedulesOptions) => {
  const alone = holdLock(path.join(statePaths(state).run, "keys.lock"), "makes keys")
  return Effect.gen(function*() {
    const [load] = mailDesks
    if (load === undefined) return yield* notSent("this build has no mail")
    const make = yield* Effect.promise(load)
    if (certifies) yield* ensureOperator(install, alone)
    const { send } = yield* make(yield* deskOptions(install, operatorOwner))
    return { send: (letter: Parameters<typeof send>[0]) => send(letter, {}) }
  }).pipe(Effect.mapError((error) => error._tag === "MailTrouble" ? error : notSent(error.message)))
}

/** One for each room that can do an action. */
const runners = (options: SchedulesOptions) =>
  Layer.effect(
    ActionRunners,
    Effect.gen(function*() {
      const files = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
      const sandboxes = yield* makeSandboxActions({
        install: options.install,
        creates: options.certifies,
        readProfile: profileReader(yield* Sandboxes, files)
      })
      return [sandboxes, yield* makeMailActions(desk(options))]
    })
  )

/** Notices to the operator, over the same desk. */
export const noticeMail = (options: SchedulesOptions) => NoticeMail.layer(desk(options))

/** Runs this install's schedules for as long as it is used; one per install, as the control plane is. */
export const schedules = (options: SchedulesOptions) => ScheduleRunner.layer.pipe(Layer.provide(runners(options)))
