/** What `km doctor` says of the GitHub Apps: the same live question as `km github status`, a line for each. */
import * as Effect from "effect/Effect"
import type { GithubAppSettings } from "../../runtime/domain/github/AppSettings.ts"
import { seenText } from "../github/discovery.ts"
import { isFine, probeApp } from "./GithubStatus.ts"

export const githubChecks = Effect.fnUntraced(function*(settings: ReadonlyArray<GithubAppSettings>) {
  const probes = yield* Effect.forEach(settings, probeApp, { concurrency: 4 })
  return probes.map((probe) => {
    const { app, failure, seen } = probe
    const name = `github ${app.host}`
    if (failure !== undefined) {
      return { name, status: "error" as const, detail: `${app.slug}: ${failure}`, remedy: "km github status" }
    }
    if (isFine(probe)) {
      const accounts = seen.map(({ account }) => account).join(", ")
      return { name, status: "ok" as const, detail: `${app.slug} on ${accounts}`, remedy: "" }
    }
    const wrong = seen.filter((one) => seenText(one) !== "fine").map((one) => `${one.account}: ${seenText(one)}`)
    return {
      name,
      status: "warn" as const,
      detail: `${app.slug}: ${wrong.join("; ") || "installed nowhere"}`,
      remedy: "km configure github --discover"
    }
  })
})
