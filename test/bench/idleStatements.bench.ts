/**
 * What the parts of an install ask of the engine while nobody writes: statements on `engine.db` a second and sandbox, with
 * 100 sandboxes in one `km up`. `dist/` as it is, copied beside a module that counts and that each program reads first.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { type BenchRow, meets } from "./BenchRow.ts"
import { allTold, calmMillis, createAll, makeChannels, startUp, stopUp, wait } from "./idleInstall.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const sandboxes = 100
const countMillis = 60_000

/** Writes the statements of its process by text, once a second; SQLite itself is asked nothing more. */
const counter = (directory: string) => `
import { DatabaseSync, StatementSync } from "node:sqlite"
import { writeFileSync } from "node:fs"
import * as path from "node:path"
const counts = new Map(), engines = new WeakSet(), texts = new WeakMap()
const note = (text) => counts.set(text, (counts.get(text) ?? 0) + 1)
const isEngine = (database) => String(database.location() ?? "").endsWith("engine.db")
const { exec, prepare } = DatabaseSync.prototype
DatabaseSync.prototype.exec = function (sql) { if (isEngine(this)) note(sql); return exec.call(this, sql) }
DatabaseSync.prototype.prepare = function (sql, ...rest) {
  const statement = prepare.call(this, sql, ...rest)
  if (isEngine(this)) texts.set(statement, sql)
  return statement
}
for (const name of ["run", "get", "all", "iterate"]) {
  const original = StatementSync.prototype[name]
  StatementSync.prototype[name] = function (...args) {
    const text = texts.get(this)
    if (text !== undefined) note(text)
    return original.apply(this, args)
  }
}
const program = path.basename(process.argv[1] ?? "", ".mjs")
setInterval(() => writeFileSync(
  ${JSON.stringify(directory)} + "/" + program + "-" + process.pid + ".json", JSON.stringify([...counts])
), 1000).unref()
`

/** A copy of `dist/` whose programs count. */
const countingDist = (directory: string): string => {
  const dist = path.join(directory, "dist")
  const counts = path.join(directory, "counts")
  fs.mkdirSync(counts)
  fs.cpSync(path.join(root, "dist"), dist, { recursive: true })
  fs.cpSync(path.join(root, "profiles"), path.join(directory, "profiles"), { recursive: true })
  fs.writeFileSync(path.join(dist, "counter.mjs"), counter(counts))
  for (const name of ["km-bridge.mjs", "km-control.mjs", "km-runtime.mjs", "chunks/km-main.mjs"]) {
    const file = path.join(dist, name)
    const text = fs.readFileSync(file, "utf8")
    const [, shebang = "", rest = ""] = /^(#![^\n]*\n)?([^]*)$/.exec(text) ?? []
    fs.writeFileSync(file, `${shebang}import "${name.includes("/") ? ".." : "."}/counter.mjs";${rest}`)
  }
  return counts
}

/** Program → text → statements so far. */
const countsIn = (directory: string): ReadonlyMap<string, ReadonlyMap<string, number>> =>
  new Map(
    fs.readdirSync(directory).map((file) => [
      file.replace(/-\d+\.json$/, ""),
      new Map(JSON.parse(fs.readFileSync(path.join(directory, file), "utf8")) as ReadonlyArray<[string, number]>)
    ])
  )

const row = (name: string, value: number, target: string): BenchRow => ({
  area: "idle",
  name,
  unit: "1/s",
  value,
  target,
  ok: meets(value, target)
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const directory = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-")))
  const state = path.join(directory, "state")
  const counts = countingDist(directory)
  const child = await startUp(state, path.join(directory, "dist"))
  try {
    await Effect.runPromise(createAll(state, await makeChannels(path.join(state, "run"), sandboxes)))
    await allTold(state, sandboxes)
    await wait(calmMillis)
    const before = countsIn(counts)
    await wait(countMillis)
    const seconds = countMillis / 1_000
    const asked = [...countsIn(counts)].flatMap(([program, texts]) =>
      [...texts].map(([text, count]) => ({
        program,
        text: text.replaceAll(/\s+/g, " ").slice(0, 100),
        perSecond: (count - (before.get(program)?.get(text) ?? 0)) / seconds
      }))
    ).filter(({ perSecond }) => perSecond > 0).toSorted((a, b) => b.perSecond - a.perSecond)
    const of = (program?: string) =>
      asked.filter((one) => program === undefined || one.program === program)
        .reduce((sum, { perSecond }) => sum + perSecond, 0) / sandboxes
    for (const { perSecond, program, text } of asked.slice(0, 12)) {
      process.stderr.write(`  ${perSecond.toFixed(2)}/s ${program}: ${text}\n`)
    }
    return [
      row(`statements on the engine a second and sandbox, ${sandboxes} idle in one km up`, of(), "<= 0.5"),
      row("of that the runtime", of("km-runtime"), ""),
      row("of that the bridge", of("km-bridge"), ""),
      row("of that the control plane", of("km-control"), "")
    ]
  } finally {
    await stopUp(child)
    fs.rmSync(directory, { recursive: true, force: true })
  }
}
