/** A command as one file: `km ping`. */
import * as Effect from "effect/Effect"
import { data } from "../../../../km-cli/Output.ts"

export const ping = Effect.fn("km.ping")(function*(_input: Record<string, never>) {
  yield* data(["pong"], { pong: true })
})
