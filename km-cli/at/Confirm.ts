/** A yes before something is committed: asked on a terminal, `--yes` elsewhere. */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Terminal from "effect/Terminal"
import { kmError } from "../KmError.ts"
import { talk } from "../Output.ts"

/** False when a person says no; KM-CLI-005 where nobody can be asked. */
export const confirmed = Effect.fnUntraced(function*(question: string, yes: boolean) {
  if (yes) return true
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) return yield* kmError("KM-CLI-005", "nobody can be asked here", "there is no terminal")
  yield* talk(`${question} [y/N]`)
  const terminal = yield* Terminal.Terminal
  const answer = yield* Effect.orElseSucceed(terminal.readLine, () => "")
  return /^y(es)?$/i.test(answer.trim())
})
