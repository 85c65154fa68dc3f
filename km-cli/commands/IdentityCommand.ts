/** The commands of `km identity`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

const load = () => Effect.promise(() => import("./Identity.ts"))
const loadChange = () => Effect.promise(() => import("./IdentityChange.ts"))

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
    "Checks every certificate and every revocation against the pinned certifier; exits 1 when a key was swapped, a " +
      "revocation is missing or an old certificate was put back."
  )
)

const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Say what would be done and change nothing")
)

const rotate = Command.make(
  "rotate",
  {
    reference,
    purpose: Flag.Literals("purpose", ["all", "mail", "mail-box", "bridge"]).pipe(
      Flag.withDefault("all" as const),
      Flag.withDescription("`mail` signs, `mail-box` opens encrypted mail, `bridge` speaks to the bridge")
    ),
    dryRun
  },
  (input) => Effect.flatMap(loadChange(), (module) => module.identityRotate(input))
).pipe(
  Command.withShortDescription("Replace its keys"),
  Command.withDescription(
    "Makes and certifies new keys, which a running runtime uses at once. What the old ones signed stays good, and what " +
      "was encrypted for them still opens. The same command again completes one that was cut off."
  )
)

const renew = Command.make(
  "renew",
  {
    reference: Argument.optional(reference),
    dryRun
  },
  (input) => Effect.flatMap(loadChange(), (module) => module.identityRenew(input))
).pipe(
  Command.withShortDescription("Certify the keys that are there for longer"),
  Command.withDescription(
    "Certifies the current keys of one identity, or of all, anew. With `unattendedCertifier`, `km up` does this by itself, " +
      "ten days before they end."
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
    dryRun
  },
  (input) => Effect.flatMap(loadChange(), (module) => module.identityRevoke(input))
).pipe(
  Command.withShortDescription("Take a key back"),
  Command.withDescription("Adds a signed, numbered revocation; it is never removed and counts within 60 seconds.")
)

export const identity = Command.make("identity").pipe(
  Command.withShortDescription("Identities: list, show, verify, rotate, renew, revoke"),
  Command.withDescription("Identities: list, show, verify, rotate, renew, revoke"),
  Command.withSubcommands([list, show, verify, rotate, renew, revoke])
)
