/**
 * What may stand at each place of a command line, read from the command tree. The scripts of the three shells are written
 * from this one table, so they differ in syntax alone.
 */
import type * as Completion from "effect/cli/Completions"

/** What only the install knows, asked with `km completions`. `mailboxes` are the names and `operator`. */
export type Ask = "names" | "schedules" | "mailboxes" | "deliveries"

export interface Word {
  readonly word: string
  /** One line for shells that show one; may be empty. */
  readonly help: string
}

/** What may follow at one place. */
export interface Place {
  readonly words: ReadonlyArray<Word>
  readonly ask?: Ask | undefined
  readonly files?: "file" | "directory" | undefined
}

export interface Places {
  /** Every command with words between blanks, such as `email read`; these alone lengthen a path. */
  readonly commands: ReadonlyArray<string>
  /** Flags whose next word is their value, with their dashes. */
  readonly valued: ReadonlyArray<string>
  /** `PATH|N`: the argument after N others; `PATH|--flag`: that flag's value. */
  readonly at: ReadonlyMap<string, Place>
  /** The flags of each command, global ones included. */
  readonly flags: ReadonlyMap<string, ReadonlyArray<Word>>
  /** Values of flags that every command has. */
  readonly global: ReadonlyMap<string, Place>
}

/** What arguments of a name stand for, in every command; the tree calls them all text. */
const named: Readonly<Record<string, Partial<Place>>> = {
  sandbox: { ask: "names" },
  schedule: { ask: "schedules" },
  identity: { ask: "mailboxes" },
  mailbox: { ask: "mailboxes" },
  profile: { files: "file" },
  file: { files: "file" }
}

/** Which other argument, or which flag's value, is a name of the install or a file. */
const known: ReadonlyArray<readonly [where: string, place: Partial<Place>]> = [
  ["email read|0", { ask: "deliveries" }],
  ["email read|1", { ask: "deliveries" }],
  ["email release|0", { ask: "deliveries" }],
  ["email release|1", { ask: "deliveries" }],
  ...["--to", "--cc", "--bcc", "--reply-to"].map((flag) => [`email send|${flag}`, { ask: "mailboxes" }] as const),
  ...["--to", "--cc", "--bcc"].map((flag) => [`at|${flag}`, { ask: "mailboxes" }] as const),
  ["email list|--from", { ask: "mailboxes" }],
  ["policy test|--profile", { files: "file" }],
  ["at|--body", { files: "file" }],
  ["email send|--body", { files: "file" }],
  ["email send|--attach", { files: "file" }],
  ["email read|--save-attachments", { files: "directory" }]
]

/** What `km at WHEN` can be followed by, and what by that. */
const actions: ReadonlyArray<readonly [words: string, then: Partial<Place>]> = [
  ["create", { files: "file" }],
  ...["destroy", "pause", "resume", "extend"].map((word) => [word, { ask: "names" }] as const),
  ["agent", { words: [{ word: "run", help: "" }] }],
  ["email", { words: [{ word: "send", help: "" }] }],
  ["agent run", { ask: "names" }]
]

const globals: ReadonlyArray<Word & { readonly place?: Place }> = [
  { word: "--json", help: "Print JSON" },
  { word: "--state", help: "State directory", place: { words: [], files: "directory" } },
  { word: "--config", help: "Configuration file", place: { words: [], files: "file" } },
  { word: "--install", help: "Another install, by name", place: { words: [] } },
  {
    word: "--log-level",
    help: "What is logged",
    place: {
      words: ["all", "trace", "debug", "info", "warn", "error", "fatal", "none"].map((word) => ({ word, help: "" }))
    }
  },
  { word: "--help", help: "Show the help" },
  { word: "--version", help: "Show the version" }
]

const plain = (word: string): Word => ({ word, help: "" })

export const placesOf = (root: Completion.CommandDescriptor): Places => {
  const commands: Array<string> = []
  const valued = new Set(globals.filter(({ place }) => place !== undefined).map(({ word }) => word))
  const at = new Map<string, Place>()
  const flags = new Map<string, ReadonlyArray<Word>>()
  const put = (where: string, place: Partial<Place>): void => {
    at.set(where, { words: [], ...at.get(where), ...place })
  }
  const walk = (command: Completion.CommandDescriptor, path: string): void => {
    if (path !== "") commands.push(path)
    flags.set(path, [
      ...command.flags.map(({ description, name }) => ({ word: `--${name}`, help: description ?? "" })),
      ...globals.map(({ help, word }) => ({ word, help }))
    ])
    for (const { aliases, name, type } of command.flags) {
      if (type._tag === "Boolean") continue
      for (const flag of [`--${name}`, ...aliases.map((alias) => (alias.length > 1 ? `--${alias}` : `-${alias}`))]) {
        valued.add(flag)
        if (type._tag === "Choice") put(`${path}|${flag}`, { words: type.values.map(plain) })
        if (name.endsWith("-file")) put(`${path}|${flag}`, { files: "file" })
      }
    }
    command.arguments.forEach(({ name, type }, index) => {
      const place = named[name]
      if (place !== undefined) put(`${path}|${index}`, place)
      if (type._tag === "Choice") put(`${path}|${index}`, { words: type.values.map(plain) })
    })
    if (command.subcommands.length > 0) {
      put(`${path}|0`, {
        words: command.subcommands.map(({ description, name }) => ({ word: name, help: description ?? "" }))
      })
    }
    for (const child of command.subcommands) walk(child, path === "" ? child.name : `${path} ${child.name}`)
  }
  walk(root, "")
  put("help|0", { words: root.subcommands.map(({ name }) => plain(name)) })
  put("at|1", { words: [...new Set(actions.map(([words]) => words.split(" ")[0] ?? ""))].map(plain) })
  for (const [words, place] of actions) put(`at ${words}|${1 + words.split(" ").length}`, place)
  for (const [where, place] of known) put(where, place)
  return {
    commands,
    valued: [...valued],
    at,
    flags,
    global: new Map(globals.flatMap(({ place, word }) => (place === undefined ? [] : [[word, place] as const])))
  }
}
