/** Every command that a document or a remedy names exists: its words, flags, choices and number of arguments. */
import { assert, describe, it } from "@effect/vitest"
import * as Completion from "effect/cli/Completions"
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { km } from "../../km-cli/Km.ts"
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
    ...Array.from(filled.matchAll(/(?:["`]|: )km ([a-z-]+[^"`;\\\n]*)["`]/g), ([, line = ""]) => line)
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
