/** The embedded engine keeps the same contracts as the ports in memory. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as EmbeddedEngine from "../../../../runtime/adapters/embedded/EmbeddedEngine.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { turnQueueContract } from "../../ports/turnQueueContract.ts"

const engine = Layer.unwrap(Effect.map(temporaryDirectory, (directory) => EmbeddedEngine.layer(directory)))

describe("TurnQueue on the embedded engine", () => turnQueueContract(engine))
