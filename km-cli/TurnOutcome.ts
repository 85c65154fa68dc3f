/** How a turn ended that the thread has just shown to be over. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { type TurnOf, TurnRecords } from "../runtime/ports/TurnRecords.ts"
import type { Backend } from "./Backend.ts"

/** The mark comes before the record by what the runtime still does with the turn, such as the upload of its session. */
const within = "20 seconds"

/** Waits a moment for the record; none when it does not come or cannot be read. */
export const recordSoon = (backend: Backend, { key, sandbox }: TurnOf) =>
  Effect.gen(function*() {
    const records = yield* TurnRecords
    const found = yield* records.written.pipe(
      Stream.mapEffect(() => records.get(sandbox, key)),
      Stream.filter(Option.isSome),
      Stream.runHead,
      Effect.timeoutOption(within)
    )
    return Option.flatten(Option.flatten(found))
  }).pipe(
    Effect.provide(backend.ports("short")),
    Effect.orElseSucceed(Option.none)
  )
