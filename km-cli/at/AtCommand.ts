/** `km at` in the command tree: names, flags and help. What a command does is imported when it runs. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { linesFlag } from "../Output.ts"

type Handlers = typeof import("../commands/At.ts")

/** Loads the handlers when one of the commands runs. */
const lazy =
  <Input, A, E, R>(pick: (handlers: Handlers) => (input: Input) => Effect.Effect<A, E, R>) => (input: Input) =>
    Effect.flatMap(Effect.promise(() => import("../commands/At.ts")), (handlers) => pick(handlers)(input))

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.optional, Flag.withDescription(description))
const texts = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.atLeast(0), Flag.withDescription(description))
const bare = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDefault(false), Flag.withDescription(description))

const reference = Argument.String("schedule").pipe(
  Argument.withDescription("Its name, or a beginning that fits only one")
)
const dryRun = bare("dry-run", "Say what would be done and change nothing")
const yes = bare("yes", "Do not ask").pipe(Flag.withAlias("y"))

const list = Command.make(
  "list",
  { all: bare("all", "Also what is finished, cancelled or orphaned") },
  lazy((handlers) => handlers.list)
).pipe(
  Command.withShortDescription("List what is scheduled"),
  Command.withDescription("Every schedule with its next time and how its last run ended.")
)
const show = Command.make("show", { reference }, lazy((handlers) => handlers.show)).pipe(
  Command.withShortDescription("Show one schedule with its next times and last runs"),
  Command.withDescription("The schedule as it is stored, its next five times and its last five runs.")
)
const runNow = Command.make("run-now", { reference, yes, dryRun }, lazy((handlers) => handlers.runNow)).pipe(
  Command.withShortDescription("Run a schedule out of turn"),
  Command.withDescription("Runs it now, in km up; its own times stay as they are. Asks when something is destroyed.")
)
const pause = Command.make("pause", { reference, dryRun }, lazy((handlers) => handlers.pause)).pipe(
  Command.withShortDescription("Keep a schedule from firing"),
  Command.withDescription("Times that pass meanwhile are not made up for. A run in hand goes on.")
)
const resume = Command.make("resume", { reference, dryRun }, lazy((handlers) => handlers.resume)).pipe(
  Command.withShortDescription("Let a paused schedule fire again"),
  Command.withDescription("It fires next at its first time from now on.")
)
const cancel = Command.make("cancel", { reference, dryRun }, lazy((handlers) => handlers.cancel)).pipe(
  Command.withShortDescription("End a schedule for good"),
  Command.withDescription("It keeps its history and its name. A run in hand goes on.")
)
const history = Command.make(
  "history",
  {
    reference,
    lines: linesFlag(20)
  },
  lazy((handlers) => handlers.history)
).pipe(
  Command.withShortDescription("Show the runs of a schedule"),
  Command.withDescription("The runs with their outcomes, newest first; the last 200 are kept.")
)

const flags = {
  prompt: text("prompt", "agent run: what the agent is asked"),
  expect: text(
    "expect",
    "agent run: a success only if the answer's last line is exactly this, which the agent is told"
  ),
  alias: text("alias", "create: a name for people"),
  unconfined: bare("unconfined", "create: accept an agent without a jail where there is none"),
  to: texts("to", "email send: to whom; repeatable"),
  cc: texts("cc", "email send: copy; repeatable"),
  bcc: texts("bcc", "email send: blind copy; repeatable"),
  subject: text("subject", "email send: the subject"),
  body: text("body", "email send: the body's file, read now"),
  bodyText: text("body-text", "email send: the body itself"),
  encrypt: bare("encrypt", "email send: encrypted"),
  onSuccess: text("on-success", "An action in one line that follows a success, with its own --on-success"),
  onFailure: text("on-failure", "The same after a failure, or an end that is not known")
}

/** Needs `Backends`, as every command. */
export const at = Command.make(
  "at",
  {
    when: Argument.String("when").pipe(Argument.withDescription("A time, quoted: 'every monday at 9am'")),
    words: Argument.String("action").pipe(Argument.variadic(), Argument.withDescription("What to do then")),
    zone: text("zone", "IANA time zone of the time; this machine's by default").pipe(Flag.withMetavar("ZONE")),
    name: text("name", "A name for the schedule"),
    overlap: Flag.Literals("overlap", ["skip", "queue", "allow"]).pipe(
      Flag.withDefault("skip"),
      Flag.withDescription("What a firing does while an earlier run is not over")
    ),
    ...flags,
    yes,
    dryRun
  },
  lazy((handlers) => (input) => {
    const { bodyText, dryRun: dry, name, onFailure, onSuccess, overlap, when, words, yes: sure, zone, ...action } =
      input
    return handlers.at({
      when,
      words,
      zone,
      name,
      overlap,
      action: { ...action, "body-text": bodyText, "on-success": onSuccess, "on-failure": onFailure },
      yes: sure,
      dryRun: dry
    })
  })
).pipe(
  Command.withShortDescription("Do something later, once or again and again"),
  Command.withDescription(
    "Times, read whole or refused: 'tomorrow at 9am', 'in 2 hours', '2026-05-01T10:00+02:00', 'every monday at 9am', " +
      "'every weekday at 8:30', 'every 15 minutes', 'daily at noon', 'weekly on friday at 5pm', 'monthly on the last " +
      "day at 9am', 'hourly', rate(5 minutes), cron(0 9 ? * MON-FRI *). Actions: create PROFILE, destroy|stop|resume " +
      "SANDBOX, extend SANDBOX DURATION, agent run SANDBOX --prompt … [--expect WORD], email send --to … --subject … --body-text …. " +
      "Shows the next five times and asks before it stores anything; needs --yes where nobody can be asked. A local " +
      "time that clocks jump over is left out; of one that comes twice the first is taken. Fires in km up."
  ),
  Command.withExamples([
    {
      command: "km at 'every monday at 9am' agent run sb-a --prompt 'Run the smoke tests' --expect PASSED " +
        "--on-success \"email send --to sb-b --subject Deploy --body-text 'Smoke tests passed: deploy.'\"",
      description: "A pipeline"
    },
    { command: "km at 'in 2 hours' destroy demo", description: "Once" }
  ]),
  Command.withSubcommands([list, show, runNow, pause, resume, cancel, history])
)
