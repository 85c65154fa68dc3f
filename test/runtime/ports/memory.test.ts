/** The ports in memory keep the same contracts as every engine. */
import { describe } from "@effect/vitest"
import { TurnQueue } from "../../../runtime/ports/TurnQueue.ts"
import { turnQueueContract } from "./turnQueueContract.ts"

describe("TurnQueue in memory", () => turnQueueContract(TurnQueue.layerMemory))
