/** The command tree of `km`: names, flags and help. What a command does is imported when it runs. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import { at } from "./at/AtCommand.ts"
import { email } from "./commands/EmailCommand.ts"
import { configure, github } from "./commands/GithubCommand.ts"
import { identity } from "./commands/IdentityCommand.ts"
import { extend, pause, resume, stop } from "./commands/LifeCommand.ts"
import { policy } from "./commands/PolicyCommand.ts"
import { slack } from "./commands/SlackCommand.ts"
import { chat, shell } from "./commands/TalkCommand.ts"
import { helpCommand, versionCommand } from "./HelpCommand.ts"
import { ConfigFlag, InstallFlag, StateFlag } from "./InstallFlags.ts"
import { JsonFlag, linesFlag, linesGiven } from "./Output.ts"

/** Loads a handler when its command runs, so that `km --help` reads none of them. */
const lazy = <Input, A, E, R>(load: () => Promise<(input: Input) => Effect.Effect<A, E, R>>) => (input: Input) =>
  Effect.flatMap(Effect.promise(load), (run) => run(input))

const reference = Argument.String("sandbox").pipe(
  Argument.withDescription("Id, alias, or a prefix that fits only one")
)
const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Say what would be done and change nothing")
)
const yes = Flag.Boolean("yes").pipe(
  Flag.withAlias("y"),
  Flag.withDefault(false),
  Flag.withDescription("Do not ask")
)

const init = Command.make(
  "init",
  {
    sidecars: Flag.Boolean("sidecars").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Check the programs that sandboxes run: versions, hashes, agent and jail")
    )
  },
  lazy(() => import("./commands/Init.ts").then((module) => module.init))
).pipe(
  Command.withShortDescription("Make this install and check it"),
  Command.withDescription(
    "Makes the state directory, the keys and the settings of an install, or checks the ones that are there. With " +
      "--sidecars it checks the programs that sandboxes run instead, and makes nothing. Both can be repeated."
  )
)

const up = Command.make(
  "up",
  {
    scripted: Flag.Boolean("scripted").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Use the scripted model even where a key is at hand")
    ),
    detach: Flag.Boolean("detach").pipe(
      Flag.withAlias("d"),
      Flag.withDefault(false),
      Flag.withDescription("Run in the background: return when everything is healthy; `km down` ends it")
    ),
    socket: Flag.Boolean("socket").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Let the local workspace deliver by Socket Mode, as slack.com can to a laptop")
    )
  },
  lazy(() => import("./commands/Up.ts").then((module) => module.up))
).pipe(
  Command.withShortDescription("Run the install on this machine until Ctrl-C"),
  Command.withDescription(
    "Starts the local workspace, the bridge and the runtimes, and keeps them running until Ctrl-C or `km down`. " +
      "The first start makes the state directory and the keys of the install. ANTHROPIC_API_KEY, if set, goes into " +
      "the secrets and never to an agent; without it the model is scripted. All of it is one trust domain."
  )
)

const down = Command.make("down", {}, lazy(() => import("./commands/Up.ts").then((module) => module.down))).pipe(
  Command.withShortDescription("End a running `km up`"),
  Command.withDescription("Ends the `km up` of this state directory; turns in hand are finished first.")
)

const demo = Command.make(
  "demo",
  {
    once: Flag.Boolean("once").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Without a terminal: exit 0 only if every stage was observed, and leave nothing")
    )
  },
  lazy(() => import("./commands/Demo.ts").then((module) => module.demo))
).pipe(
  Command.withShortDescription("One sandbox, one message, one answer, shown live"),
  Command.withDescription(
    "Starts a stack of its own, creates a sandbox from profiles/demo.yaml, posts a first message as a person of the " +
      "workspace, shows the thread as it grows and prints a timeline; then stays up for more."
  )
)

const profileFile = Argument.String("profile").pipe(Argument.withDescription("A profile's YAML file"))

const validate = Command.make(
  "validate",
  { file: profileFile },
  lazy(() => import("./commands/Validate.ts").then((module) => module.validate))
).pipe(
  Command.withShortDescription("Check a profile"),
  Command.withDescription("Says everything that is wrong with a profile at once. Warnings do not fail.")
)

const create = Command.make(
  "create",
  {
    file: profileFile,
    alias: Flag.String("alias").pipe(Flag.optional, Flag.withDescription("A name for people; unique in the install")),
    id: Flag.String("id").pipe(
      Flag.optional,
      Flag.withDescription("The sandbox's id; that of an interrupted create continues it")
    ),
    unconfined: Flag.Boolean("unconfined").pipe(
      Flag.withDefault(false),
      Flag.withDescription("Accept an agent without a jail where there is none")
    ),
    yes: yes.pipe(Flag.withDescription("Accept that refs are not enforced (sourceAccess.mode: audit)")),
    dryRun
  },
  lazy(() => import("./commands/Create.ts").then((module) => module.create))
).pipe(
  Command.withShortDescription("Create a sandbox from a profile"),
  Command.withDescription(
    "Creates a sandbox and waits until it is ready. A step that fails undoes what was made; after an interruption the " +
      "same command with --id continues."
  ),
  Command.withExamples([{ command: "km create profiles/demo.yaml --alias demo", description: "A sandbox called demo" }])
)

const list = Command.make("list", {}, lazy(() => import("./commands/List.ts").then((module) => module.list))).pipe(
  Command.withAlias("ls"),
  Command.withShortDescription("List the sandboxes"),
  Command.withDescription("Every sandbox of the install, oldest first.")
)

const status = Command.make(
  "status",
  { reference: Argument.optional(reference) },
  lazy(() => import("./commands/Status.ts").then((module) => module.status))
).pipe(
  Command.withShortDescription("Show the install, or one sandbox with its turns"),
  Command.withDescription("Without an argument the parts of the install; with one the sandbox, its queue and turns.")
)

const destroy = Command.make(
  "destroy",
  { reference, yes, dryRun },
  lazy(() => import("./commands/Destroy.ts").then((module) => module.destroy))
).pipe(
  Command.withShortDescription("Destroy a sandbox and everything of it"),
  Command.withDescription(
    "Ends the runtime, answers what waits, archives the channel and removes files, queue, keys and rows. Run again, it " +
      "continues where it stopped."
  )
)

const auditVerify = Command.make(
  "verify",
  {},
  lazy(() => import("./commands/Audit.ts").then((module) => module.auditVerify))
).pipe(
  Command.withShortDescription("Prove that the audit is whole"),
  Command.withDescription(
    "Follows every chain from its first link to the end that was noted elsewhere, and names the first link that is " +
      "missing, was changed, or was put in. Exits 1 if there is one."
  )
)

const audit = Command.make(
  "audit",
  {
    lines: Flag.optional(linesGiven).pipe(Flag.withDescription("Only the last entries, this many; 0 for none")),
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDefault(false),
      Flag.withDescription("Go on with what is recorded from now on, until Ctrl-C")
    )
  },
  lazy(() => import("./commands/Audit.ts").then((module) => module.audit))
).pipe(
  Command.withSubcommands([auditVerify]),
  Command.withShortDescription("Show what was done and refused, and prove that the record is whole"),
  Command.withDescription(
    "Who did what, by which rule it was judged, and when; oldest first. No secret and no text of a message is in it."
  )
)

const logs = Command.make(
  "logs",
  {
    reference: Argument.optional(reference),
    part: Flag.Literals("part", ["bridge", "control", "runtime", "workspace", "model", "mail-in", "mail-out"]).pipe(
      Flag.optional,
      Flag.withDescription("Only this part of the stack")
    ),
    lines: linesFlag(50),
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDefault(false),
      Flag.withDescription("Go on until Ctrl-C")
    )
  },
  lazy(() => import("./commands/Logs.ts").then((module) => module.logs))
).pipe(
  Command.withShortDescription("Show the logs of the install, or of one sandbox"),
  Command.withDescription("The logs of the parts that `km up` runs, oldest first; with a sandbox only its lines.")
)

const transcript = Command.make(
  "transcript",
  {
    reference,
    session: Argument.String("session").pipe(Argument.withDescription("The session's id, as the notice has it"))
  },
  lazy(() => import("./commands/Transcript.ts").then((module) => module.transcript))
).pipe(
  Command.withShortDescription("Write a session's transcript to standard output"),
  Command.withDescription("Writes the stored transcript of a session, as JSON Lines, to standard output."),
  Command.withExamples([{
    command: "km transcript demo 0b0b0b0b-1111-4222-8333-444444444444 > session.jsonl",
    description: "Into a file"
  }])
)

const replay = Command.make(
  "replay",
  { turn: Argument.String("turn").pipe(Argument.withDescription("The turn's key, as in the notice")), dryRun },
  lazy(() => import("./commands/Replay.ts").then((module) => module.replay))
).pipe(
  Command.withShortDescription("Run a parked turn again"),
  Command.withDescription("Runs a parked turn again as a new attempt of the same message.")
)

const doctor = Command.make(
  "doctor",
  {},
  lazy(() => import("./commands/Doctor.ts").then((module) => module.doctor))
).pipe(
  Command.withShortDescription("Check this machine and this install"),
  Command.withDescription("Runs every check and names the remedy of each that fails. Exits 1 when one is an error.")
)

const explain = Command.make(
  "explain",
  {},
  lazy(() => import("./commands/ConfigExplain.ts").then((module) => module.configExplain))
).pipe(
  Command.withShortDescription("Where each setting comes from"),
  Command.withDescription("Flags win over KM_* variables, these over km.config.yaml, that over defaults.")
)
const config = Command.make("config").pipe(
  Command.withShortDescription("Configuration: explain"),
  Command.withDescription("Configuration: explain"),
  Command.withSubcommands([explain])
)

const systemd = Command.make(
  "systemd",
  {
    user: Flag.String("user").pipe(
      Flag.withDefault("km"),
      Flag.withDescription("The user the services run as; owns the state directory. Default km")
    )
  },
  lazy(() => import("./commands/Systemd.ts").then((module) => module.systemd))
).pipe(
  Command.withShortDescription("Print the units that run this install as services"),
  Command.withDescription(
    "Prints a unit for each part of this install, with its own secrets alone, hardened as far as bubblewrap and V8 allow. " +
      "The runtime's is a template, one instance a sandbox: km-runtime@sb-1a2b3c4d."
  )
)

const root = (): Command.Command.Any => km

const completions = Command.make(
  "completions",
  {
    shell: Argument.Literals("shell", ["bash", "zsh", "fish", "names", "schedules", "deliveries"]),
    mailbox: Argument.String("mailbox").pipe(
      Argument.withDefault("operator"),
      Argument.withDescription("Whose deliveries")
    )
  },
  lazy(() =>
    import("./commands/Completions.ts").then((module) => (input: Parameters<typeof module.completions>[0]) =>
      module.completions(input, root())
    )
  )
).pipe(
  Command.withShortDescription("Print completions for bash, zsh or fish"),
  Command.withDescription(
    "Completes commands, flags and the live names of sandboxes, schedules and deliveries. `names`, `schedules` and " +
      "`deliveries` print just these."
  )
)

const workspace = Command.make(
  "workspace",
  { credentials: Flag.String("credentials"), remove: Flag.String("remove").pipe(Flag.optional) },
  lazy(() => import("./commands/Parts.ts").then((module) => module.workspace))
).pipe(Command.unlisted)

const model = Command.make("model", {}, lazy(() => import("./commands/Parts.ts").then((module) => module.model))).pipe(
  Command.unlisted
)

const help = helpCommand((): Command.Command.Any => km)

/** Everything. Its handlers need `Backends`, which the composition root provides. */
export const km = Command.make("km").pipe(
  Command.withDescription("Sandboxes with a coding agent each, worked from Slack."),
  Command.withSubcommands([
    init,
    up,
    down,
    demo,
    validate,
    create,
    list,
    status,
    destroy,
    stop,
    pause,
    resume,
    extend,
    chat,
    shell,
    logs,
    audit,
    replay,
    transcript,
    at,
    slack,
    email,
    identity,
    policy,
    github,
    doctor,
    config,
    configure,
    systemd,
    completions,
    help,
    versionCommand,
    workspace,
    model
  ]),
  Command.withGlobalFlags([JsonFlag, StateFlag, ConfigFlag, InstallFlag])
)
