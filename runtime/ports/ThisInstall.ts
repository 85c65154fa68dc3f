/** The install that this runtime belongs to: given at start by the composition root, constant while it runs. */
import * as Context from "effect/Context"
import type { Install } from "../domain/install/Install.ts"

export class ThisInstall extends Context.Service<ThisInstall, Install>()("km/runtime/ports/ThisInstall") {}
