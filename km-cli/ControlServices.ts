/** Create and destroy as commands and the control plane use them: over one install, each act in its audit. */
import * as Layer from "effect/Layer"
import type { Install } from "../runtime/domain/install/Install.ts"
import { type Actor, auditedControl } from "../runtime/kernel/sandboxes/AuditedControl.ts"
import type { Backend } from "./Backend.ts"

/** `Provisioning` and `Teardown`. Their ports, the audit among them, are the caller's to provide. */
export const controlServices = (backend: Backend, install: Install, actor: Actor) =>
  auditedControl(actor).pipe(Layer.provide(backend.bridge(install)))
