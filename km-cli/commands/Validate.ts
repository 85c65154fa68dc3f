/** `km validate`: everything that is wrong with a profile, at once; the same verdict as `km create`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { Backend } from "../Backend.ts"
import { pathFrom } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { findingLine, type ProfileReport, readProfile } from "../profile/ProfileFile.ts"

/** Who owns a channel as its own, but for one id; nobody where there is no install. */
export const channelOwners = Effect.fnUntraced(function*(backend: Backend, except?: string) {
  const install = yield* Effect.option(backend.install)
  if (Option.isNone(install)) return () => undefined
  const rows = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list).pipe(
    Effect.provide(backend.ports("short"))
  )
  const owners = new Map(
    rows.flatMap((row) =>
      row.channelMode === "perSandbox" && row.channel !== undefined && row.id !== except
        ? [[String(row.channel), String(row.id)] as const]
        : []
    )
  )
  return (channel: string) => owners.get(channel)
})

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`

/** `profiles/x.yaml is valid, 1 warning`, or how many errors there are. */
export const verdict = (report: ProfileReport): string => {
  const errors = report.findings.filter(({ severity }) => severity === "error").length
  const warnings = report.findings.length - errors
  const rest = warnings === 0 ? "" : `, ${count(warnings, "warning")}`
  return errors === 0 ? `${report.file} is valid${rest}` : `${report.file} has ${count(errors, "error")}${rest}`
}

export const validate = Effect.fn("km.validate")(function*(input: { readonly file: string }) {
  const file = yield* pathFrom(input.file, "the profile")
  const { backend } = yield* opened
  const report = yield* readProfile(file, yield* channelOwners(backend))
  const ok = report.profile !== undefined
  yield* data(report.findings.map(findingLine), {
    ok,
    file,
    ...(report.profile === undefined ? {} : { profile: report.profile }),
    findings: report.findings
  })
  if (ok) return yield* talk(verdict(report))
  return yield* kmError("KM-CLI-006", verdict(report), "", `correct the lines above, then: km validate ${file}`)
})
