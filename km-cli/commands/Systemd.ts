/** `km systemd`: the unit that runs each sandbox as a service of its own, for this installation of km. */
import * as Effect from "effect/Effect"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { runtimeUnit, runtimeUnitName, unusableOptions } from "../systemd/RuntimeUnit.ts"

export const systemd = Effect.fn("km.systemd")(function*(flags: { readonly user: string }) {
  const { backend } = yield* opened
  const { args, command } = backend.children.runtime
  const options = {
    node: command,
    runtime: args.find((argument) => argument.startsWith("/")) ?? "",
    stateDirectory: backend.paths.root,
    user: flags.user
  }
  const unusable = unusableOptions(options)
  if (unusable.length > 0) {
    return yield* kmError(
      "KM-CLI-022",
      `a unit file cannot name this: ${unusable.map((key) => `${key} ${JSON.stringify(options[key])}`).join(", ")}`,
      "systemd reads spaces, quotes, % and $ as something else"
    )
  }
  const unit = runtimeUnit(options)
  yield* data(unit.trimEnd().split("\n"), { ok: true, name: runtimeUnitName, unit })
  yield* talk(`put this at /etc/systemd/system/${runtimeUnitName}, then:`)
  yield* talk("  systemctl daemon-reload && systemctl enable --now km-runtime@SANDBOX")
})
