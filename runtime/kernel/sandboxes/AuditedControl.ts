/**
 * Create and destroy, each written into the journal before it begins and when it is over. A create that cannot be
 * written down does not begin: it makes keys. A destroy goes on, because it also frees the disk that may be full.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Audit, type AuditRecord } from "../../ports/Audit.ts"
import { Provisioning } from "./Provisioning.ts"
import { SandboxRefused } from "./SandboxErrors.ts"
import { Teardown } from "./Teardown.ts"

/** Who asked for it: a person with a command, or the control plane by itself (time to live, idleness, schedules). */
export type Actor = "operator" | "control-plane"

type Act = Pick<AuditRecord, "action" | "subject" | "detail">

const logged = <E extends { readonly message: string }, R>(effect: Effect.Effect<void, E, R>) =>
  effect.pipe(Effect.catch((error) => Effect.logError("the audit could not be written", error.message)))

/** How it ended; an audit that cannot be written is told and does not undo what has been done. */
const ending =
  (audit: Audit["Service"], actor: Actor, act: Act) => <A, R>(effect: Effect.Effect<A, SandboxRefused, R>) =>
    effect.pipe(
      Effect.tap(() => logged(audit.record({ actor, ...act, verdict: "done" }))),
      Effect.tapError((error) =>
        logged(audit.record({ actor, ...act, verdict: "failed", rule: error.code, detail: error.reason }))
      )
    )

const teardown = (actor: Actor) =>
  Layer.effect(
    Teardown,
    Effect.gen(function*() {
      const audit = yield* Audit
      const inner = yield* Teardown
      return Teardown.of({
        ...inner,
        run: (id, reason, progress) => {
          const act = { action: "sandbox.destroy", subject: id, detail: reason }
          return logged(audit.record({ actor, ...act, verdict: "allowed" })).pipe(
            Effect.andThen(inner.run(id, reason, progress)),
            ending(audit, actor, act)
          )
        }
      })
    })
  ).pipe(Layer.provide(Teardown.layer))

const provisioning = (actor: Actor) =>
  Layer.effect(
    Provisioning,
    Effect.gen(function*() {
      const audit = yield* Audit
      const inner = yield* Provisioning
      return Provisioning.of({
        ...inner,
        create: (request, progress) => {
          const { alias, id, profile: { metadata } } = request
          const detail = `profile ${metadata.name}${alias === undefined ? "" : `, alias ${alias}`}`
          const act = { action: "sandbox.create", subject: id, detail }
          return audit.record({ actor, ...act, verdict: "allowed" }).pipe(
            Effect.mapError((error) =>
              new SandboxRefused({
                code: "KM-CLI-103",
                sandbox: id,
                step: "audit",
                reason: `the audit cannot be written: ${error.message}`,
                remedy: "correct that, then run the same command again"
              })
            ),
            Effect.andThen(inner.create(request, progress)),
            ending(audit, actor, act)
          )
        }
      })
    })
  ).pipe(Layer.provide(Provisioning.layer))

/** `Provisioning` and `Teardown` over the caller's ports; what `actor` does with them is in the journal. */
export const auditedControl = (actor: Actor) => provisioning(actor).pipe(Layer.provideMerge(teardown(actor)))
