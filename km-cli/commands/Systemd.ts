/** `km systemd`: the units that run this install as services, for this installation of km. */
import * as Effect from "effect/Effect"
import type { ChildCommand } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, talk } from "../Output.ts"
import { type UnitOptions, unitsOf, unusableOptions } from "../systemd/Units.ts"

const programOf = ({ args }: ChildCommand): string => args.find((argument) => argument.startsWith("/")) ?? ""

export const systemd = Effect.fn("km.systemd")(function*(flags: { readonly user: string }) {
  const { backend, config } = yield* opened
  const { children } = backend
  const smtp = yield* Effect.match(backend.install, {
    onFailure: () => undefined,
    onSuccess: (install) => install.smtp
  })
  const options: UnitOptions = {
    node: children.runtime.command,
    programs: {
      bridge: programOf(children.bridge),
      control: programOf(children.control),
      runtime: programOf(children.runtime),
      smtp: programOf(children.mailIn)
    },
    stateDirectory: backend.paths.root,
    user: flags.user,
    unattendedCertifier: config.unattendedCertifier,
    mailIn: smtp?.listen !== undefined,
    mailOut: smtp?.relay !== undefined
  }
  const unusable = unusableOptions(options)
  if (unusable.length > 0) {
    return yield* kmError(
      "KM-CLI-022",
      `a unit file cannot name this: ${unusable.map(([what, text]) => `${what} ${JSON.stringify(text)}`).join(", ")}`,
      "systemd reads spaces, quotes, % and $ as something else"
    )
  }
  const units = unitsOf(options)
  yield* data(
    units.flatMap(({ name, text }, n) => [...(n === 0 ? [] : [""]), `# ${name}`, ...text.trimEnd().split("\n")]),
    { ok: true, units }
  )
  const names = units.map(({ name }) => name)
  yield* talk("put each part at /etc/systemd/system/ under the name above it, then:")
  yield* talk(
    `  systemctl daemon-reload && systemctl enable --now ${
      names.map((name) => name.replace("@.service", "@SANDBOX")).join(" ")
    }`
  )
})
