/** `km destroy`: ends a sandbox and removes everything but its audit; run again, it continues where it stopped. */
import * as TerminalCapabilities from "effect/cli/TerminalCapabilities"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Terminal from "effect/Terminal"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { controlServices } from "../ControlServices.ts"
import { kmError } from "../KmError.ts"
import { bridgeAnswers, opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { labelOf, resolve } from "../Reference.ts"
import { channelText } from "../SandboxView.ts"

export interface DestroyInput {
  readonly reference: string
  readonly yes: boolean
  readonly dryRun: boolean
}

/** Asks on a terminal; elsewhere only `--yes` will do. */
const confirmed = Effect.fnUntraced(function*(question: string, yes: boolean) {
  if (yes) return true
  const { canPrompt } = yield* TerminalCapabilities.TerminalCapabilities
  if (!canPrompt) return yield* kmError("KM-CLI-005", "nobody can be asked here", "there is no terminal")
  yield* talk(`${question} [y/N]`)
  const terminal = yield* Terminal.Terminal
  const answer = yield* Effect.orElseSucceed(terminal.readLine, () => "")
  return /^y(es)?$/i.test(answer.trim())
})

export const destroy = Effect.fn("km.destroy")(function*(input: DestroyInput) {
  const { backend } = yield* opened
  const install = yield* backend.install
  const services = controlServices(backend, install, "operator").pipe(Layer.provideMerge(backend.ports("short")))
  return yield* Effect.gen(function*() {
    const row = yield* resolve(input.reference)
    if (input.dryRun) {
      return yield* data(
        [`would destroy ${labelOf(row)}:`, ...row.inventory.map((item) => `  ${item.kind.padEnd(10)} ${item.ref}`)],
        { ok: true, dryRun: true, id: row.id, inventory: row.inventory }
      )
    }
    const sure = yield* confirmed(
      `Destroy ${labelOf(row)} with its files, channel ${channelText(row)} and queue?`,
      input.yes
    )
    if (!sure) return yield* data(["nothing was changed"], { ok: true, destroyed: false, id: row.id })
    yield* talk(`destroying ${labelOf(row)}`)
    if (row.channel !== undefined && !(yield* bridgeAnswers(install))) {
      yield* talk("the bridge does not answer; its last word in the channel is waited for up to 45 s (km up starts it)")
    }
    const teardown = yield* Teardown
    yield* teardown.run(row.id, "destroyed", (item) => talk(`  ${item} gone`))
    return yield* data([`${row.alias ?? row.id} is destroyed`], { ok: true, destroyed: true, id: row.id })
  }).pipe(Effect.provide(services))
})
