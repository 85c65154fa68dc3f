/** The install that this runtime belongs to: given at start by the composition root, constant while it runs. */
import * as Context from "effect/Context"
import type { Install } from "../domain/install/Install.ts"

export class Installation extends Context.Service<Installation, Install>()("km/runtime/ports/Installation") {}
