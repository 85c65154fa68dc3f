/**
 * What `km doctor` says of GitHub: of each App what `km github status` asks, and of what sandboxes may write what else stands
 * between.
 */
import * as Effect from "effect/Effect"
import type { GithubAppSettings } from "../../runtime/domain/github/AppSettings.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { seenText } from "../github/discovery.ts"
import { ruleChecks } from "../github/ruleChecks.ts"
import { isFine, probeApp } from "./GithubStatus.ts"

export const githubChecks = Effect.fnUntraced(function*(settings: ReadonlyArray<GithubAppSettings>) {
  const probes = yield* Effect.forEach(settings, probeApp, { concurrency: 4 })
  const lines = probes.map((probe) => {
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
  return [...lines, ...yield* ruleChecks(yield* (yield* Sandboxes).list)]
})
