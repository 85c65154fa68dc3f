/** `km stop`, `pause`, `resume` and `extend` in the command tree: names, flags and help. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"

type Handlers = typeof import("./Life.ts")

/** Loads the handlers when one of the commands runs. */
const lazy =
  <Input, A, E, R>(pick: (handlers: Handlers) => (input: Input) => Effect.Effect<A, E, R>) => (input: Input) =>
    Effect.flatMap(Effect.promise(() => import("./Life.ts")), (handlers) => pick(handlers)(input))

const reference = Argument.String("sandbox").pipe(
  Argument.withDescription("Id, alias, or a prefix that fits only one")
)
const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Say what would be done and change nothing")
)
const duration = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.optional, Flag.withMetavar("DURATION"), Flag.withDescription(description))

export const stop = Command.make(
  "stop",
  {
    reference,
    turn: Flag.String("turn").pipe(Flag.optional, Flag.withDescription("Only this turn")),
    dryRun
  },
  (input) => Effect.flatMap(Effect.promise(() => import("./Stop.ts")), (handlers) => handlers.stop(input))
).pipe(
  Command.withShortDescription("Interrupt what the agent does now"),
  Command.withDescription(
    "Interrupts the running turns of a sandbox, or one turn; the sandbox lives on. `km pause` lets it rest."
  )
)

export const pause = Command.make("pause", { reference, dryRun }, lazy((handlers) => handlers.pause)).pipe(
  Command.withShortDescription("Let a sandbox rest until it is needed"),
  Command.withDescription(
    "Ends the sandbox's runtime once the turn in hand is over. Its files, channel and keys stay, messages are kept and wake it " +
      "where its profile lets them, and its time to live goes on. `km stop` interrupts a turn instead."
  )
)

export const resume = Command.make("resume", { reference, dryRun }, lazy((handlers) => handlers.resume)).pipe(
  Command.withShortDescription("Let a paused sandbox run again"),
  Command.withDescription(
    "Starts the runtime of a paused sandbox and waits until it is ready; what waited is answered."
  )
)

export const extend = Command.make(
  "extend",
  {
    reference,
    duration: Argument.String("duration").pipe(Argument.optional, Argument.withDescription("The same as --by")),
    by: duration("by", "So much longer than now planned, such as 2h"),
    ttl: duration("ttl", "Until so long from now, such as 8h; never earlier than now planned"),
    dryRun
  },
  lazy((handlers) => handlers.extend)
).pipe(
  Command.withShortDescription("Let a sandbox live longer"),
  Command.withDescription("Moves the end of a sandbox's time to live. A sandbox without one lives until destroyed."),
  Command.withExamples([
    { command: "km extend demo --by 2h", description: "Two hours more" },
    { command: "km extend demo --ttl 7d", description: "A week from now" }
  ])
)
