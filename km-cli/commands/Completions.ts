/** `km completions`: scripts for bash, zsh and fish, generated from the command tree; names are asked for live. */
import * as Completion from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import { Mailbox } from "../../runtime/ports/Mail.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Scheduler } from "../../runtime/ports/Scheduler.ts"
import { km } from "../Km.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"
import { pick } from "../Reference.ts"

/** What is asked for live, and after which commands. `$given` is the first word that is no command's. */
const live: ReadonlyArray<{ readonly after: ReadonlyArray<string>; readonly ask: string }> = [
  { after: ["status", "destroy", "stop", "chat", "logs"], ask: "names" },
  { after: ["at show", "at run-now", "at pause", "at resume", "at cancel", "at history"], ask: "schedules" },
  {
    after: ["identity show", "identity rotate", "identity revoke", "email list", "email quarantine"],
    ask: "mailboxes"
  },
  { after: ["email read"], ask: "deliveries" }
]
const asked: Readonly<Record<string, string>> = {
  names: "$(km completions names 2>/dev/null)",
  schedules: "$(km completions schedules 2>/dev/null)",
  mailboxes: "operator $(km completions names 2>/dev/null)",
  deliveries: "operator $(km completions names 2>/dev/null) $(km completions deliveries ${given:-operator} 2>/dev/null)"
}
const liveCases = (variable: string): string =>
  live.map(({ after, ask }) =>
    `    ${after.map((path) => `"${path}"`).join("|")}) ${variable}="$${variable} ${asked[ask] ?? ""}" ;;`
  ).join("\n")

/** A command line such as `km slack test` with what may follow it. */
interface Node {
  readonly path: ReadonlyArray<string>
  readonly words: ReadonlyArray<{ readonly word: string; readonly help: string }>
  /** Values of flags that take one of a few. */
  readonly choices: ReadonlyArray<{ readonly flag: string; readonly values: ReadonlyArray<string> }>
}

const nodesOf = (command: Completion.CommandDescriptor, path: ReadonlyArray<string> = []): ReadonlyArray<Node> => [
  {
    path,
    words: [
      ...command.subcommands.map(({ description, name }) => ({ word: name, help: description ?? "" })),
      ...command.arguments.flatMap(({ type }) =>
        type._tag === "Choice" ? type.values.map((word) => ({ word, help: "" })) : []
      ),
      ...command.flags.map(({ description, name }) => ({ word: `--${name}`, help: description ?? "" }))
    ],
    choices: command.flags.flatMap(({ name, type }) =>
      type._tag === "Choice" ? [{ flag: `--${name}`, values: type.values }] : []
    )
  },
  ...command.subcommands.flatMap((child) => nodesOf(child, [...path, child.name]))
]

const globals = ["--json", "--state", "--config", "--help", "--version"]

const cases = (nodes: ReadonlyArray<Node>): string =>
  nodes.map(({ path, words }) =>
    `    "${path.join(" ")}") words="${[...words.map(({ word }) => word), ...globals].join(" ")}" ;;`
  ).join("\n")

/** After a flag that takes one of a few values: those, and nothing else. */
const choiceCases = (nodes: ReadonlyArray<Node>, variable: string): string =>
  nodes.flatMap(({ choices, path }) =>
    choices.map(({ flag, values }) => `    "${path.join(" ")} ${flag}") ${variable}="${values.join(" ")}" ;;`)
  ).join("\n")

const bash = (nodes: ReadonlyArray<Node>): string =>
  `# km completions for bash: source <(km completions bash)
_km() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path="" words="" given="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ $word == -* ]] && continue
    case "\${path:+$path }$word" in
      ${
    nodes.filter(({ path }) => path.length > 0).map(({ path }) => `"${path.join(" ")}"`).join("|")
  }) path="\${path:+$path }$word" ;;
      *) given="\${given:-$word}" ;;
    esac
  done
  case "$path" in
${cases(nodes)}
  esac
  case "$path" in
${liveCases("words")}
    validate|create) [[ $cur != -* ]] && { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return; } ;;
  esac
  case "$path \${COMP_WORDS[COMP_CWORD-1]}" in
${choiceCases(nodes, "words")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _km km`

// Not `path`, which in zsh is PATH.
const zsh = (nodes: ReadonlyArray<Node>): string =>
  `#compdef km
# km completions for zsh: source <(km completions zsh)
_km() {
  local cmd="" choice="" given="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] && continue
    case "\${cmd:+$cmd }$word" in
      ${
    nodes.filter(({ path }) => path.length > 0).map(({ path }) => `"${path.join(" ")}"`).join("|")
  }) cmd="\${cmd:+$cmd }$word" ;;
      *) given="\${given:-$word}" ;;
    esac
  done
  case "$cmd" in
${cases(nodes).replaceAll(") words=", ") choice=")}
  esac
  case "$cmd" in
${liveCases("choice")}
    validate|create) [[ $PREFIX != -* ]] && { _files; return; } ;;
  esac
  case "$cmd \${words[CURRENT-1]}" in
${choiceCases(nodes, "choice")}
  esac
  compadd -- \${=choice}
}
compdef _km km`

const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`

const fishAfter = (path: string): string =>
  quoted(path.split(" ").map((step) => `__fish_seen_subcommand_from ${step}`).join("; and "))

/** The word after `read`, if there is one, is the mailbox. */
const fishGiven = "(string match -rg ' read (\\S+) ' -- (commandline -opc | string join ' ')' ')"
const fishAsked = (ask: string): string =>
  quoted(
    (asked[ask] ?? "").replaceAll("$(", "(").replace("${given:-operator}", fishGiven)
  )

const fish = (nodes: ReadonlyArray<Node>): string =>
  [
    "# km completions for fish: km completions fish | source",
    "complete -c km -f",
    ...nodes.flatMap(({ path, words }) =>
      words.map(({ help, word }) => {
        const when = path.length === 0
          ? "__fish_use_subcommand"
          : path.map((step) => `__fish_seen_subcommand_from ${step}`).join("; and ")
        const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`
        return `complete -c km -n ${quoted(when)} ${what} -d ${quoted(help.split(/[.;:]/)[0] ?? "")}`
      })
    ),
    ...nodes.flatMap(({ choices, path }) =>
      choices.map(({ flag, values }) =>
        `complete -c km -n ${fishAfter(path.join(" "))} -l ${flag.slice(2)} -x -a ${quoted(values.join(" "))}`
      )
    ),
    ...live.flatMap(({ after, ask }) =>
      after.map((path) => `complete -c km -n ${fishAfter(path)} -a ${fishAsked(ask)}`)
    ),
    "complete -c km -n '__fish_seen_subcommand_from validate create' -F",
    ...globals.map((flag) => `complete -c km -l ${flag.slice(2)}`)
  ].join("\n")

const scripts = { bash, zsh, fish }

/** A shell that completes must not be shown errors: what cannot be read has no names. */
const liveNames = Effect.fnUntraced(function*(what: "names" | "schedules" | "deliveries", mailbox: string) {
  const { backend } = yield* opened
  const names = Effect.gen(function*() {
    yield* backend.install
    if (what === "schedules") return (yield* (yield* Scheduler).list).map(({ name }) => name)
    const rows = yield* (yield* Sandboxes).list
    if (what === "names") return rows.flatMap(({ alias, id }) => alias === undefined ? [id] : [alias, id])
    const [row] = pick(rows, mailbox)
    const owner = mailbox === "operator" ? mailbox : row?.id
    if (owner === undefined) return []
    const box = yield* Mailbox
    const filed = [
      ...yield* box.list(owner, "inbox", { limit: 50 }),
      ...yield* box.list(owner, "quarantine", { limit: 50 })
    ]
    return filed.toSorted((a, b) => b.seq - a.seq).map(({ id }) => id)
  })
  return yield* Effect.orElseSucceed(Effect.provide(names, backend.ports("short")), () => [])
})

export const completions = Effect.fn("km.completions")(function*(
  { mailbox, shell }: {
    readonly shell: keyof typeof scripts | "names" | "schedules" | "deliveries"
    readonly mailbox: string
  }
) {
  if (shell === "names" || shell === "schedules" || shell === "deliveries") {
    const names = yield* liveNames(shell, mailbox)
    return yield* data(names, { ok: true, names })
  }
  const nodes = nodesOf(Completion.fromCommand(km))
  const script = scripts[shell](nodes)
  return yield* data([script], { ok: true, shell, script })
})
