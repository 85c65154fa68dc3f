/** Create and destroy as commands and `km up` use them: over one install, each act written into its audit. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import * as path from "node:path"
import type { Install } from "../runtime/domain/Install.ts"
import { Provisioning } from "../runtime/kernel/Provisioning.ts"
import type { SandboxRefused } from "../runtime/kernel/SandboxErrors.ts"
import { Teardown } from "../runtime/kernel/Teardown.ts"
import type { Backend } from "./Backend.ts"
import { kmError } from "./KmError.ts"

/** Who asked for it: a person with a command, or the control plane by itself (time to live, idleness, repair). */
export type Actor = "operator" | "control-plane"

/** Where an install keeps its audit: JSON lines, appended, 0600; the one thing of a sandbox that destroy leaves. */
export const auditFile = (root: string): string => path.join(root, "audit.jsonl")

/** One line; synced. An audit that cannot be written is told and does not undo what has been done. */
const note = Effect.fnUntraced(function*(
  backend: Backend,
  entry:
    & { readonly actor: Actor; readonly action: "create" | "destroy"; readonly sandbox: string }
    & Record<string, string>
) {
  const at = new Date(yield* Clock.currentTimeMillis).toISOString()
  yield* Effect.try({
    try: () => {
      const file = fs.openSync(auditFile(backend.paths.root), "a", 0o600)
      try {
        fs.writeSync(file, `${JSON.stringify({ at, ...entry })}\n`)
        fs.fsyncSync(file)
      } finally {
        fs.closeSync(file)
      }
    },
    catch: (cause) =>
      kmError("KM-CLI-015", "the audit could not be written", cause instanceof Error ? cause.message : String(cause))
  }).pipe(Effect.catch((error) => Effect.logError(error.what, error.why)))
})

/** `Provisioning` and `Teardown`, whose outcomes go into the audit. Their ports are the caller's to provide. */
export const controlServices = (backend: Backend, install: Install, actor: Actor) => {
  const audited = <A, R>(
    effect: Effect.Effect<A, SandboxRefused, R>,
    entry: { readonly action: "create" | "destroy"; readonly sandbox: string } & Record<string, string>
  ) =>
    effect.pipe(
      Effect.tap(() => note(backend, { actor, outcome: "done", ...entry })),
      Effect.tapError((error) => note(backend, { actor, outcome: "refused", code: error.code, ...entry }))
    )
  const teardown = Layer.effect(
    Teardown,
    Effect.map(Teardown, (inner) =>
      Teardown.of({
        run: (id, reason, progress) =>
          audited(inner.run(id, reason, progress), { action: "destroy", sandbox: id, reason })
      }))
  ).pipe(Layer.provide(Teardown.layer))
  const provisioning = Layer.effect(
    Provisioning,
    Effect.map(Provisioning, (inner) =>
      Provisioning.of({
        ...inner,
        create: (request, progress) =>
          audited(inner.create(request, progress), {
            action: "create",
            sandbox: request.id,
            profile: request.profile.metadata.name,
            ...(request.alias === undefined ? {} : { alias: request.alias })
          })
      }))
  ).pipe(Layer.provide(Provisioning.layer))
  return provisioning.pipe(Layer.provideMerge(teardown), Layer.provide(backend.bridge(install)))
}
