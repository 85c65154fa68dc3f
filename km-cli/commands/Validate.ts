/** `km validate`: everything that is wrong with a profile, at once; the same verdict as `km create`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { findingLine, readProfile, verdict } from "../../profiles/ProfileFile.ts"
import { ownersOfChannels } from "../../runtime/kernel/sandboxes/ChannelPlan.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { Backend } from "../Backend.ts"
import { pathFrom } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"

/** What a profile is judged by: the build's agents, and whose a channel is, but for one id; nobody's where there is no install. */
export const surroundings = Effect.fnUntraced(function*(backend: Backend, except?: string) {
  const { agents } = backend
  const install = yield* Effect.option(backend.install)
  if (Option.isNone(install)) return { agents, ownerOfChannel: () => undefined }
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list).pipe(
    Effect.provide(backend.ports("short"))
  )
  return { agents, ownerOfChannel: ownersOfChannels(rows, except) }
})

export const validate = Effect.fn("km.validate")(function*(input: { readonly file: string }) {
  const file = yield* pathFrom(input.file, "the profile")
  const { backend } = yield* opened
  const report = yield* readProfile(file, yield* surroundings(backend))
  const ok = report.profile !== undefined
  yield* data(report.findings.map(findingLine), {
    ok,
    file,
    ...(report.profile === undefined ? {} : { profile: report.profile }),
    findings: report.findings
  })
  if (report.profile !== undefined) {
    return yield* talk(`${verdict(report)}; network ${report.profile.spec.network.mode}`)
  }
  return yield* kmError("KM-CLI-006", verdict(report), "", `correct the lines above, then: km validate ${file}`)
})
