/** Examples of a document, to be run as they stand there: a comment names each, the code block below it is run. */
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** The shell blocks of a document below `<!-- example: NAME -->`, by name. */
export const examplesOf = (document: string): ReadonlyMap<string, string> => {
  const text = fs.readFileSync(path.join(root, document), "utf8")
  const found = [...text.matchAll(/<!-- example: ([a-z-]+) -->\n```sh\n([\s\S]*?)```/g)]
  return new Map(found.map(([, name = "", block = ""]) => [name, block]))
}

/**
 * What documents use of `jq`, so that the tests need no such program: `-r`, a path such as `.[0].id`, and a file or
 * standard input with any number of JSON values, one a line or one in all.
 */
const jq = `
import { readFileSync } from "node:fs"
const args = process.argv.slice(2)
const raw = args[0] === "-r"
const [filter, file] = raw ? args.slice(1) : args
if (!/^(\\.\\w+|\\.?\\[\\d+\\])+$/.test(filter)) throw new Error("no filter of the documents: " + filter)
const text = readFileSync(file ?? 0, "utf8")
const values = (() => {
  try { return [JSON.parse(text)] } catch { return text.trim().split("\\n").map((line) => JSON.parse(line)) }
})()
for (const value of values) {
  const found = [...filter.matchAll(/\\w+/g)].reduce((at, [key]) => at?.[key], value) ?? null
  process.stdout.write((raw && typeof found === "string" ? found : JSON.stringify(found)) + "\\n")
}
`

/** A directory for PATH, with that `jq` in it. */
export const writeTools = (directory: string): string => {
  const script = path.join(directory, "jq.mjs")
  const tool = path.join(directory, "jq")
  fs.writeFileSync(script, jq)
  fs.writeFileSync(tool, `#!/bin/sh\nexec '${process.execPath}' '${script}' "$@"\n`, { mode: 0o700 })
  return directory
}

/** A shell session of a document: its line there, the block, and why it is not run, where a comment above says so. */
export interface ShellSession {
  readonly line: number
  readonly block: string
  readonly notRun: string | undefined
}

/** Every `sh` block of a document, in order. `<!-- not run: REASON -->` above one takes it out. */
export const sessionsOf = (document: string): ReadonlyArray<ShellSession> => {
  const text = fs.readFileSync(path.join(root, document), "utf8")
  return [...text.matchAll(/(?:<!-- not run: ([^\n]+) -->\n)?```sh\n([\s\S]*?)```/g)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    block: match[2] ?? "",
    notRun: match[1]
  }))
}

/** Makes `km` a program on a PATH, as an install does. `km up` is somebody else's terminal: it must be running there. */
export const writeKm = (directory: string, program: string): string => {
  const run = `'${process.execPath}' '${program}'`
  const script = `#!/bin/sh\nif [ "$1" = up ]; then exec ${run} status > /dev/null; fi\nexec ${run} "$@"\n`
  fs.writeFileSync(path.join(directory, "km"), script, { mode: 0o700 })
  return directory
}
