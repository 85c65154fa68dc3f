/** The commands of `km email`: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

const load = () => Effect.promise(() => import("./Email.ts"))

const reference = Argument.String("sandbox").pipe(
  Argument.withDescription("Id, alias, or a prefix that fits only one")
)
const limit = Flag.Int("limit").pipe(
  Flag.withAlias("n"),
  Flag.withDefault(50),
  Flag.withDescription("How many, newest first")
)

const list = Command.make(
  "list",
  { reference, limit },
  (input) => Effect.flatMap(load(), (module) => module.emailList(input))
).pipe(
  Command.withShortDescription("The inbox of a sandbox"),
  Command.withDescription("What arrived for a sandbox and was accepted, newest first, with its status.")
)

const quarantine = Command.make(
  "quarantine",
  { reference, limit },
  (input) => Effect.flatMap(load(), (module) => module.emailQuarantine(input))
).pipe(
  Command.withShortDescription("What was not accepted, and why"),
  Command.withDescription("Mail for a sandbox that was not accepted, newest first, with status and reason.")
)

const read = Command.make(
  "read",
  { reference, delivery: Argument.String("delivery").pipe(Argument.withDescription("As the list shows it")) },
  (input) => Effect.flatMap(load(), (module) => module.emailRead(input))
).pipe(
  Command.withShortDescription("Show one message"),
  Command.withDescription("Shows one message of a sandbox, from inbox or quarantine; it stays unread.")
)

export const email = Command.make("email").pipe(
  Command.withShortDescription("Mail of the sandboxes: list, read, quarantine"),
  Command.withDescription("Mail of the sandboxes: list, read, quarantine"),
  Command.withSubcommands([list, read, quarantine])
)
