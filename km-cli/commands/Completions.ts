/** `km completions`: scripts for bash, zsh and fish, generated from the command tree; names are asked for live. */
import * as Completion from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { km } from "../Km.ts"
import { opened } from "../Opened.ts"
import { data } from "../Output.ts"

/** Commands whose first argument is a sandbox. */
const withSandbox = ["status", "destroy", "stop", "chat", "logs"]

/** A command line such as `km slack test` with what may follow it. */
interface Node {
  readonly path: ReadonlyArray<string>
  readonly words: ReadonlyArray<{ readonly word: string; readonly help: string }>
}

const nodesOf = (command: Completion.CommandDescriptor, path: ReadonlyArray<string> = []): ReadonlyArray<Node> => [
  {
    path,
    words: [
      ...command.subcommands.map(({ description, name }) => ({ word: name, help: description ?? "" })),
      ...command.flags.map(({ description, name }) => ({ word: `--${name}`, help: description ?? "" }))
    ]
  },
  ...command.subcommands.flatMap((child) => nodesOf(child, [...path, child.name]))
]

const globals = ["--json", "--state", "--config", "--help", "--version"]

const cases = (nodes: ReadonlyArray<Node>): string =>
  nodes.map(({ path, words }) =>
    `    "${path.join(" ")}") words="${[...words.map(({ word }) => word), ...globals].join(" ")}" ;;`
  ).join("\n")

const bash = (nodes: ReadonlyArray<Node>): string =>
  `# km completions for bash: source <(km completions bash)
_km() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path="" words="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [[ $word == -* ]] && continue
    case "\${path:+$path }$word" in
      ${
    nodes.filter(({ path }) => path.length > 0).map(({ path }) => `"${path.join(" ")}"`).join("|")
  }) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases(nodes)}
  esac
  case "$path" in
    ${withSandbox.join("|")}) words="$words $(km completions names 2>/dev/null)" ;;
    validate|create) [[ $cur != -* ]] && { COMPREPLY=($(compgen -f -- "$cur")); return; } ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _km km`

const zsh = (nodes: ReadonlyArray<Node>): string =>
  `#compdef km
# km completions for zsh: source <(km completions zsh)
_km() {
  local path="" choice="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    [[ $word == -* ]] && continue
    case "\${path:+$path }$word" in
      ${
    nodes.filter(({ path }) => path.length > 0).map(({ path }) => `"${path.join(" ")}"`).join("|")
  }) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases(nodes).replaceAll(") words=", ") choice=")}
  esac
  case "$path" in
    ${withSandbox.join("|")}) choice="$choice $(km completions names 2>/dev/null)" ;;
    validate|create) [[ $PREFIX != -* ]] && { _files; return; } ;;
  esac
  compadd -- \${=choice}
}
compdef _km km`

const quoted = (text: string): string => `'${text.replaceAll("'", "\\'")}'`

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
    `complete -c km -n '__fish_seen_subcommand_from ${withSandbox.join(" ")}' -a '(km completions names 2>/dev/null)'`,
    "complete -c km -n '__fish_seen_subcommand_from validate create' -F",
    ...globals.map((flag) => `complete -c km -l ${flag.slice(2)}`)
  ].join("\n")

const scripts = { bash, zsh, fish }

export const completions = Effect.fn("km.completions")(function*(
  { shell }: { readonly shell: "bash" | "zsh" | "fish" | "names" }
) {
  if (shell !== "names") {
    const nodes = nodesOf(Completion.fromCommand(km))
    const script = scripts[shell](nodes)
    return yield* data([script], { ok: true, shell, script })
  }
  const { backend } = yield* opened
  // A shell that completes must not be shown errors: no install, no names.
  const rows = yield* Effect.andThen(backend.install, Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list)).pipe(
    Effect.provide(backend.ports("short")),
    Effect.orElseSucceed(() => [])
  )
  const names = rows.flatMap(({ alias, id }) => alias === undefined ? [id] : [alias, id])
  yield* data(names, { ok: true, names })
})
