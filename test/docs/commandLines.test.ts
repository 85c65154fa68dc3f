/** Every command that a document or a remedy names exists: its words, flags, choices and number of arguments. */
import { assert, describe, it } from "@effect/vitest"
import * as Completion from "effect/cli/Completions"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km } from "../../km-cli/Km.ts"
import { recvArguments } from "../../plugins/email/recv/recvArguments.ts"
import { sendArguments } from "../../plugins/email/send/sendArguments.ts"
import { allCodes } from "./errorsDocument.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const tree = Completion.fromCommand(km)
const globals = ["--json", "--help", "--version", "--log-level", "--state", "--config", "--install"]
const globalValues = ["--log-level", "--state", "--config", "--install"]

/** As a shell splits them; quotes keep what they hold together. */
const wordsOf = (line: string): ReadonlyArray<string> =>
  Array.from(line.matchAll(/(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'"])+/g), ([word]) => word)

/** What is wrong with a command line without its `km`, or undefined. `whole`: it must be complete, not just a mention. */
const faultOf = (line: string, whole: boolean): string | undefined => {
  const words = wordsOf(line)
  let command = tree
  let at = 0
  for (; at < words.length; at++) {
    const next = command.subcommands.find(({ name }) => name === words[at])
    if (next === undefined) break
    command = next
  }
  if (command === tree && words[0]?.startsWith("-") !== true) return `there is no km ${words[0] ?? ""}`
  let given = 0
  for (; at < words.length; at++) {
    const word = words[at] ?? ""
    if (word === "…") continue
    // What follows is another program's.
    if (word === "--") {
      given += words.length - at - 1
      break
    }
    if (!word.startsWith("-")) {
      given += 1
      continue
    }
    const [flag = "", attached] = word.split("=")
    const known = command.flags.find(({ aliases, name }) => flag === `--${name}` || aliases.includes(flag.slice(1)))
    if (known === undefined && !globals.includes(flag)) return `${flag} is no flag of km ${command.name}`
    const takes = known === undefined ? globalValues.includes(flag) : known.type._tag !== "Boolean"
    if (!takes) continue
    const value = attached ?? words[++at]
    if (whole && value === undefined) return `${flag} has no value`
    if (value !== undefined && known?.type._tag === "Choice" && !known.type.values.includes(value)) {
      return `${value} is no ${flag}`
    }
  }
  const most = command.arguments.some(({ variadic }) => variadic) ? Infinity : command.arguments.length
  if (given > most) return `${given} arguments for km ${command.name}`
  const least = command.arguments.filter(({ required }) => required).length
  return whole && given < least ? `${given} of ${least} arguments` : undefined
}

/** Words that a person would have to replace: a remedy that is shown is to be run as it is. */
const placeholder = /\b(?!KM_)[A-Z]{2,}\b|<[a-z]+>/

const mentions = (text: string): ReadonlyArray<string> =>
  Array.from(text.matchAll(/(?<!`)`km ([^`]+)`(?!`)/g), ([, line = ""]) => line.replaceAll(/\s+/g, " "))

const sources = ["runtime", "plugins", "hooks", "bridge", "km-cli"].flatMap((room) =>
  fs.readdirSync(path.join(root, room), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => path.join(entry.parentPath, entry.name))
)

/** Without what a shell does with it, and what a synopsis has in brackets. */
const onlyWords = (line: string): string => line.replace(/ [|>].*$/, "").replaceAll(/ \[[^\]]*\]/g, "").trim()

/** Sentences about `km` and `km up`, and a row of a table. */
const prose = /^(up )?(has|needs|did|is|runs|starts|ended|does|checks) |^up {2}/

/** In a string of the source: one that is a command, or has one in (escaped) backticks. `${…}` is one word. */
const toldIn = (source: string): ReadonlyArray<string> => {
  const code = source.split("\n").filter((line) => !/^\s*(\/?\*|\/\/)/.test(line)).join("\n")
  const filled = code.replaceAll(/\$\{[^{}]*\}/g, "x")
  return [
    ...Array.from(filled.matchAll(/\\`km ([^`\\]+)\\`/g), ([, line = ""]) => line),
    ...Array.from(filled.matchAll(/(?:["`]|: )km ([a-z-]+[^"`;\\\n]*)\\?["`]/g), ([, line = ""]) => line)
  ].map(onlyWords).filter((line) => !prose.test(line))
}

const documents = [
  "README.md",
  "CONTRIBUTING.md",
  ...fs.readdirSync(path.join(root, "docs")).map((file) => `docs/${file}`)
]
  .filter((file) => file.endsWith(".md") && file !== "docs/errors.md")

describe("the command lines that people are told", () => {
  it("are judged as the command tree would", () => {
    assert.isUndefined(faultOf("create profiles/demo.yaml --alias demo --json", true))
    assert.isUndefined(faultOf("logs -n 5 --part mail-in", true))
    assert.isUndefined(faultOf("at 'in 2 hours' destroy demo", true))
    assert.strictEqual(faultOf("replay demo T1", true), "2 arguments for km replay")
    assert.strictEqual(faultOf("replay", true), "0 of 1 arguments")
    assert.isUndefined(faultOf("replay", false))
    assert.strictEqual(faultOf("frob", false), "there is no km frob")
    assert.strictEqual(faultOf("email frob", false), "1 arguments for km email")
    assert.strictEqual(faultOf("list --frob", false), "--frob is no flag of km list")
    assert.strictEqual(faultOf("logs --part slack", true), "slack is no --part")
  })

  it("exist in every code's remedy, and have nothing to be replaced", () => {
    const wrong = allCodes.flatMap(({ code, remedy, what }) =>
      mentions(`${what} ${remedy}`).flatMap((line) => {
        const why = placeholder.test(line.replaceAll(/'[^']*'|--expect \S+/g, ""))
          ? "has a placeholder"
          : faultOf(line, false)
        return why === undefined ? [] : [`${code}: km ${line}: ${why}`]
      })
    )
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(allCodes.flatMap(({ remedy }) => mentions(remedy)).length, 20)
  })

  it("exist where a room tells them, in Slack too", () => {
    const found = sources.flatMap((file) =>
      toldIn(fs.readFileSync(file, "utf8")).map((line) => [path.relative(root, file), line] as const)
    )
    const wrong = found.flatMap(([file, line]) => {
      const why = placeholder.test(line.replaceAll(/'[^']*'|--expect \S+/g, ""))
        ? "has a placeholder"
        : faultOf(line, false)
      return why === undefined ? [] : [`${file}: km ${line}: ${why}`]
    })
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(found.length, 40)
  })

  it("exist in the documents; those of a shell session are complete", () => {
    const wrong = documents.flatMap((file) => {
      const text = fs.readFileSync(path.join(root, file), "utf8")
      const sessions = Array.from(
        text.matchAll(/```(?:sh|bash|console|shell)?\n([^]*?)```/g),
        ([, block = ""]) => block
      )
      const typed = sessions.flatMap((block) =>
        block.replaceAll("\\\n", " ").split("\n").flatMap((line) => {
          const [, words] = /^(?:\$ )?km (.+?)(?:\s+#.*|\s+[|>].*)?$/.exec(line) ?? []
          return words === undefined ? [] : [words]
        })
      )
      const said = mentions(text.replaceAll(/```[^]*?```/g, ""))
      return [...typed.map((line) => [line, true] as const), ...said.map((line) => [line, false] as const)]
        .flatMap(([line, whole]) => {
          const why = faultOf(onlyWords(line), whole)
          return why === undefined ? [] : [`${file}: km ${line}: ${why}`]
        })
    })
    assert.deepStrictEqual(wrong, [])
  })
})

/** The agent's own programs, by the code that parses what they are given. */
const programs = { "km-send": sendArguments, "km-recv": recvArguments }
type Program = keyof typeof programs
const isProgram = (name: string): name is Program => Object.hasOwn(programs, name)

/** What is wrong with a program's line as a shell would split it; a mention may leave out what is needed. */
const programFault = (line: string, whole: boolean): string | undefined => {
  const [name = "", ...args] = wordsOf(line).map((word) => word.replaceAll(/^(['"])(.*)\1$/g, "$2"))
  if (!isProgram(name)) return `there is no ${name}`
  const given = !whole && name === "km-send" && !args.includes("--to") ? [...args, "--to", "x"] : args
  // A mention of a flag says nothing of its value.
  const valued = !whole && /^--(?!wait-reply)[a-z-]+$/.test(given.at(-1) ?? "") ? [given, [...given, "x"]] : [given]
  const faults = valued.map((words) => {
    try {
      programs[name](words)
      return undefined
    } catch (error) {
      return error instanceof Error ? error.message : "throws"
    }
  })
  return faults.includes(undefined) ? undefined : faults[0]
}

const filled = (text: string) => text.replaceAll(/\bSECONDS\b|\bN\b/g, "30").replaceAll("FILE|-", "-")

/** One line of a synopsis, and each of what it has in brackets; `…` stands for more of the same. */
const synopsisFaults = (synopsis: string): ReadonlyArray<string> => {
  const line = synopsis.replaceAll(/\s+/g, " ").replace("[--wait-reply [SECONDS]]", "[--wait-reply] [--wait-reply 600]")
  const options = Array.from(line.matchAll(/\[([^\]]*)\]/g), ([, option = ""]) => option)
  const plain = line.replaceAll(/ \[[^\]]*\]/g, "")
  return [
    "",
    ...options.flatMap((option) => option.endsWith("FILE|-") ? [option, option.replace("FILE|-", "FILE")] : [option])
  ]
    .flatMap((option) => programFault(filled(`${plain} ${option}`), true) ?? [])
}

/** The lines of a block of a shell that run such a program, also within `$(…)`; what a shell does with them aside. */
const programLines = (block: string): ReadonlyArray<string> =>
  block.replaceAll("\\\n", " ").split("\n").flatMap((line) =>
    Array.from(
      line.replace(/(^|\s)#.*$/, "").matchAll(/(?<![\w-])km-(?:send|recv)(?= |$)(?:'[^']*'|"[^"]*"|[^|>&;)'"])*/g),
      ([found]) => found.trim()
    )
  )

describe("the command lines of the agent's programs", () => {
  it("are judged as the programs would", () => {
    assert.isUndefined(programFault("km-send --to x --subject 'a b' --wait-reply --json", true))
    assert.isUndefined(programFault("km-send --in-reply-to \"$KM_MAIL_ID\"", false))
    assert.isUndefined(programFault("km-recv --save-attachments", false))
    assert.isDefined(programFault("km-recv --save-attachments", true))
    assert.isDefined(programFault("km-send --subject x", true))
    assert.isDefined(programFault("km-send --to x --frob", false))
    assert.isDefined(programFault("km-recv --limit 501", true))
    assert.isDefined(programFault("km-recv --from ''", true))
    assert.isDefined(programFault("km-recv extra", true))
    assert.isDefined(programFault("km-recv --json --raw", true))
    assert.deepStrictEqual(
      programLines("a=$(km-recv --json | jq .) # km-send --x\nkm-send --to 'x|y' \\\n --json > f"),
      [
        "km-recv --json",
        "km-send --to 'x|y'   --json"
      ]
    )
    assert.lengthOf(synopsisFaults("km-recv [--json] [--frob ID] [--wait SECONDS]\n  [--limit N] [--raw]"), 1)
  })

  it("exist in the documents, in sessions, in sentences and in their synopsis", () => {
    let lines = 0
    const wrong = documents.flatMap((file) => {
      const text = fs.readFileSync(path.join(root, file), "utf8")
      const blocks = Array.from(
        text.matchAll(/```(\w*)\n([^]*?)```/g),
        ([, kind = "", block = ""]) => ({ kind, block })
      )
      const sessions = blocks.filter(({ kind }) => /^(sh|bash|console|shell)$/.test(kind))
        .flatMap(({ block }) => programLines(block))
      const said = Array.from(
        text.replaceAll(/```[^]*?```/g, "").matchAll(/`(km-(?:send|recv) [^`]+)`/g),
        ([, line = ""]) => line.replaceAll(/\s+/g, " ")
      ).flatMap(programLines)
      const synopses = blocks.filter(({ kind }) => kind === "").flatMap(({ block }) =>
        Array.from(block.matchAll(/^km-(?:send|recv) .*(?:\n +.*)*/gm), ([found]) => found)
      )
      lines += sessions.length + said.length + synopses.length
      return [
        ...sessions.flatMap((line) => programFault(line, true) ?? []),
        ...said.flatMap((line) => programFault(line, false) ?? []),
        ...synopses.flatMap(synopsisFaults)
      ].map((why) => `${file}: ${why}`)
    })
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(lines, 12)
  })

  it("exist in every code's remedy, and in what they say of themselves", () => {
    const told = allCodes.flatMap(({ code, remedy, what }) =>
      Array.from(`${what} ${remedy}`.matchAll(/`(km-(?:send|recv)[^`]*)`/g), ([, line = ""]) => [code, line] as const)
    )
    assert.deepStrictEqual(
      told.flatMap(([code, line]) => programFault(line, false) === undefined ? [] : [`${code}: ${line}`]),
      []
    )
    assert.isAbove(told.length, 2)
    for (const name of ["send", "recv"]) {
      const source = fs.readFileSync(path.join(root, "plugins/email", name, "main.ts"), "utf8")
      const [, help = ""] = /const help = `([^`]*?)\n\n/.exec(source) ?? []
      assert.match(help, new RegExp(`^km-${name} `))
      assert.deepStrictEqual(synopsisFaults(help), [])
    }
  })
})

describe("the codes of commands", () => {
  /** Each is raised for one kind of trouble: the words with which it may be told. A new use is read against its sentence. */
  const kinds: Readonly<Record<string, RegExp>> = {
    "KM-CLI-007": /nothing to end|local workspace is not running/,
    "KM-CLI-008": /is running already/,
    "KM-CLI-009": /did not start|is not healthy|did not say where it is/,
    "KM-CLI-011": /knows the turn|has no turn/,
    "KM-CLI-013": /Slack did not pass/,
    "KM-CLI-016": /no outcome yet|turn timed out/,
    "KM-CLI-018": /has no channel/,
    "KM-CLI-019": /^x is x$/,
    "KM-CLI-020": /is being destroyed/,
    "KM-CLI-025": /has no key/,
    "KM-CLI-026": /bridge (did|does) not answer/,
    "KM-CLI-028": /workspace is Slack/,
    "KM-CLI-029": /bridge refused/,
    "KM-CLI-030": /the host could not/,
    "KM-CLI-031": /takes no messages/,
    "KM-CLI-033": /km up did not end/,
    "KM-CLI-034": /certifier's key|the secret/
  }

  it("are used for what their sentence says", () => {
    const uses = sources.filter((file) => file.includes("km-cli")).flatMap((file) =>
      Array.from(
        fs.readFileSync(file, "utf8").replaceAll(/\$\{[^{}]*\}/g, "x")
          .matchAll(/kmError\(\s*"(KM-CLI-\d{3})",\s*(?:"([^"]*)"|`([^`]*)`)/g),
        ([, code = "", plain, template]) => ({ file: path.basename(file), code, what: plain ?? template ?? "" })
      )
    )
    assert.deepStrictEqual(uses.filter(({ code, what }) => kinds[code]?.test(what) === false), [])
    const unused = Object.keys(kinds).filter((code) => !uses.some((use) => use.code === code))
    assert.deepStrictEqual(unused, [])
  })
})
