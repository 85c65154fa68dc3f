/** The commands of `km identity`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

const load = () => Effect.promise(() => import("./Identity.ts"))

const reference = Argument.String("identity").pipe(
  Argument.withDescription("`operator`, or a sandbox's id, alias or prefix")
)

const list = Command.make("list", {}, () => Effect.flatMap(load(), (module) => module.identityList())).pipe(
  Command.withShortDescription("Every key of every identity"),
  Command.withDescription("Every certified key of the operator and the sandboxes, with its standing.")
)

const show = Command.make(
  "show",
  { reference },
  (input) => Effect.flatMap(load(), (module) => module.identityShow(input))
).pipe(
  Command.withShortDescription("One identity: addresses and keys"),
  Command.withDescription("The mail addresses of one identity and its keys, also those that are over.")
)

const verify = Command.make("verify", {}, () => Effect.flatMap(load(), (module) => module.identityVerify())).pipe(
  Command.withShortDescription("Check every row against the certifier"),
  Command.withDescription(
    "Checks every certificate and every revocation against the pinned certifier; exits 6 when a key was swapped or a " +
      "revocation is missing."
  )
)

const revoke = Command.make(
  "revoke",
  {
    reference,
    key: Flag.String("key").pipe(Flag.withDescription("The key's id, as `km identity show` has it")),
    reason: Flag.String("reason").pipe(
      Flag.withDefault("revoked by the operator"),
      Flag.withDescription("For people; stored with the revocation")
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Say what would be done and change nothing")
    )
  },
  (input) => Effect.flatMap(load(), (module) => module.identityRevoke(input))
).pipe(
  Command.withShortDescription("Take a key back"),
  Command.withDescription("Adds a signed, numbered revocation; it is never removed and counts within 60 seconds.")
)

export const identity = Command.make("identity").pipe(
  Command.withShortDescription("Identities: list, show, verify, revoke"),
  Command.withDescription("Identities: list, show, verify, revoke"),
  Command.withSubcommands([list, show, verify, revoke])
)
