/** Hidden commands that `km up` starts as processes of their own: the local workspace and the scripted model. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { removeWhenIdle } from "../demo/DemoDirectory.ts"
import { kmError } from "../KmError.ts"
import { start as startModel } from "../local/model/ScriptedModel.ts"
import { runWorkspaceProcess } from "../local/workspace/WorkspaceProcess.ts"

/** Options come on standard input; the process ends when that does, so it never outlives its parent. */
export const workspace = (input: { readonly credentials: string; readonly remove: Option.Option<string> }) =>
  runWorkspaceProcess({ credentialsFile: input.credentials, endWithStdin: true }).pipe(
    // Reached only when standard input has ended: a supervisor that lives ends us by a signal and removes it itself.
    Effect.andThen(Option.match(input.remove, { onNone: () => Effect.void, onSome: removeWhenIdle }))
  )

/** Says where it is in one line of JSON; ends with its standard input. */
export const model = Effect.fn("km.model")(function*() {
  const { url } = yield* startModel().pipe(
    Effect.mapError((error) => kmError("KM-CLI-009", "the scripted model did not start", error.message))
  )
  yield* Console.log(JSON.stringify({ url }))
  const stdio = yield* Stdio.Stdio
  yield* Effect.ignore(Stream.runDrain(stdio.stdin))
}, Effect.scoped)
