/**
 * `make mutants [AREA=path] [SEED=n] [FULL=1] [JOBS=n]`: changes the code in small ways and looks whether a test
 * notices. Results go to `test/bench/results/mutants.json` (a part's to `mutants.part.json`), the figures to
 * `test/bench/RESULTS.md` by hand.
 *
 * All mutants of a file are in one instrumented copy of it, which only the runner sees; a number says which is active. Each
 * related test file runs once without any: that tells which mutants it comes by, and how long it takes. Then each mutant
 * meets the files that come by it, the nearest first, until one fails.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { makeRedactor } from "../../runtime/domain/text/Redactor.ts"
import { nearestFirst, portable, relatedTests, root } from "./areas.ts"
import type { Outcome } from "./Lane.ts"
import { Lane } from "./Lane.ts"
import { choose, defaultSeed } from "./sample.ts"

const print = (text: string) => process.stdout.write(`${text}\n`)

const whole = (name: string, fallback: number): number => {
  const text = process.env[name]
  if (text === undefined || text === "") return fallback
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= 0) return value
  print(`${name} is a whole number, not ${JSON.stringify(text)}`)
  process.exit(2)
}

/** Test files slower than this in the run without mutants are not asked: milliseconds. */
const slowestTest = 60_000

/** So many test files are related to a source file, the nearest to it; with `FULL` all from which it is reached. */
const nearest = 10

/** Tests of this long a time in all are enough for one mutant: milliseconds, of the run without mutants. */
const budget = 45_000

const area = process.env["AREA"] === "" ? undefined : process.env["AREA"]?.replace(/\/$/, "")
const seed = whole("SEED", defaultSeed)
const full = (process.env["FULL"] ?? "") !== ""
const jobs = Math.max(1, whole("JOBS", Math.min(2, os.availableParallelism())))
// For work on the tests: mutants by name (`;` between them), tests whose path matches, and the time of each test file.
const only = process.env["ONLY"] ?? ""
const onlyTests = process.env["TESTS"] ?? ""
const verbose = (process.env["VERBOSE"] ?? "") !== ""

const begun = Date.now()
const [loadBefore] = os.loadavg()
if (area !== undefined && !existsSync(path.join(root, area))) {
  print(`AREA=${area}: there is no such path`)
  process.exit(2)
}
const sample = choose({ seed, full: full || only !== "", below: area })
const mutants = sample.chosen.filter((mutant) => only === "" || only.split(";").includes(mutant.id))
  .map((mutant, number) => ({ ...mutant, number }))
if (mutants.length === 0) {
  print(`nothing to mutate below ${area}`)
  process.exit(2)
}
const near = new Map<string, ReadonlyArray<string>>()
for (const source of new Set(mutants.map((mutant) => mutant.file))) {
  const related = relatedTests(new Set([source])).filter((file) => new RegExp(onlyTests).test(file))
  near.set(source, nearestFirst(source, related).slice(0, full ? Infinity : nearest))
}
const tests = [...new Set([...near.values()].flat())].toSorted()
print(
  `${mutants.length} mutants of ${
    Object.values(sample.sizes).reduce((sum, each) => sum + each, 0)
  }, seed ${seed}, ${tests.length} related test files`
)

// A short path: sockets are made below it.
const temporary = mkdtempSync(path.join(os.tmpdir(), "km-m-"))
const lanes = await Promise.all(Array.from({ length: jobs }, () => Lane.start(mutants, temporary)))
process.on("exit", () => {
  for (const lane of lanes) lane.stop()
  rmSync(temporary, { recursive: true, force: true })
})
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))

/** Gives each lane the next of the list until there is none. */
const shared = async <A>(list: ReadonlyArray<A>, work: (lane: Lane, item: A) => Promise<void>): Promise<void> => {
  let next = 0
  await Promise.all(lanes.map(async (lane) => {
    for (let item = list[next++]; item !== undefined; item = list[next++]) await work(lane, item)
  }))
}

// Without a mutant: which test files come by which mutants.
const covering = new Map<
  number,
  Array<{ readonly file: string; readonly milliseconds: number; readonly visits: number }>
>()
const leftOut: Array<{ readonly file: string; readonly why: string }> = []
await shared(tests, async (lane, file) => {
  const ran = await lane.run({ file, mutant: -1, visitLimit: 0, deadline: slowestTest * 2 })
  if (ran._tag === "Late" || ran.milliseconds > slowestTest) leftOut.push({ file, why: "too slow" })
  else if (!ran.passed) {
    leftOut.push({ file, why: `fails without a mutant: ${portable(ran.failure ?? "", [temporary])}` })
  } else {
    if (verbose) {
      print(`${file}: ${Math.round(ran.milliseconds)} ms, ${Object.keys(ran.visits).length} mutants`)
    }
    for (const [number, visits] of Object.entries(ran.visits)) {
      const known = covering.get(Number(number)) ?? []
      covering.set(Number(number), [...known, { file, milliseconds: ran.milliseconds, visits }])
    }
  }
})
for (const { file, why } of leftOut) print(`left out: ${file} (${why})`)
const baseline = Date.now() - begun
print(`run without mutants: ${Math.round(baseline / 1000)} s`)

interface Row {
  readonly id: string
  readonly area: string
  readonly original: string
  readonly replacement: string
  readonly outcome: Outcome
  /** The test that noticed, or how many files were asked. */
  readonly by: string
  readonly milliseconds: number
}
const rows: Array<Row> = []
const { text: withoutSecrets } = makeRedactor([])
/** A failure as it may be kept: tests compare tokens, which are nobody's and look like somebody's. */
const told = (failure: string) => withoutSecrets(portable(failure, [temporary]))
const cut = (text: string) => text.length <= 160 ? text : `${text.slice(0, 159)}…`
const detected = (row: Row) => row.outcome === "killed" || row.outcome === "timeout"

await shared(mutants, async (lane, mutant) => {
  const from = Date.now()
  const order = near.get(mutant.file) ?? []
  const asked = (covering.get(mutant.number) ?? []).filter(({ file }) => order.includes(file))
    .toSorted((a, b) => order.indexOf(a.file) - order.indexOf(b.file))
  let spent = 0
  let outcome: Outcome = asked.length === 0 ? "not covered" : "survived"
  let by = `${asked.length} test files`
  for (const { file, milliseconds, visits } of asked) {
    if (spent > budget) break
    spent += milliseconds
    const deadline = 10_000 + 4 * milliseconds
    const ran = await lane.run({ file, mutant: mutant.number, visitLimit: 100 * visits + 10_000, deadline })
    if (ran._tag === "Late" || !ran.passed) {
      outcome = ran._tag === "Late" ? "timeout" : "killed"
      by = ran._tag === "Late" ? file : `${file}: ${told(ran.failure ?? "").slice(0, 300)}`
      break
    }
  }
  const row = {
    id: mutant.id,
    area: mutant.area,
    original: cut(mutant.original),
    replacement: cut(mutant.replacement),
    outcome,
    by,
    milliseconds: Date.now() - from
  }
  rows.push(row)
  if (!detected(row)) {
    print(
      `${outcome}: ${row.id} (${row.by})\n    ${cut(row.original.replace(/\s+/g, " "))}\n  → ${
        cut(row.replacement.replace(/\s+/g, " "))
      }`
    )
  }
  if (rows.length % 50 === 0) {
    print(`… ${rows.length} of ${mutants.length}, ${Math.round((Date.now() - begun) / 1000)} s`)
  }
})
const score = (of: ReadonlyArray<Row>) =>
  of.length === 0 ? 0 : Math.round(1000 * of.filter(detected).length / of.length) / 10
const byArea = Object.entries(sample.sizes).map(([name, size]) => {
  const own = rows.filter((row) => row.area === name)
  const count = (outcome: Outcome) => own.filter((row) => row.outcome === outcome).length
  return {
    area: name,
    mutants: size,
    tried: own.length,
    killed: count("killed"),
    timeout: count("timeout"),
    survived: count("survived"),
    notCovered: count("not covered"),
    score: score(own)
  }
}).filter((each) => each.tried > 0)
for (const line of byArea) {
  print(
    `${line.area}: ${line.score} % (${line.tried} of ${line.mutants} tried, ${line.killed} killed, ${line.timeout} timed out, ${line.survived} survived, ${line.notCovered} not covered)`
  )
}
const seconds = Math.round((Date.now() - begun) / 1000)
print(
  `score ${score(rows)} % of ${rows.length}, seed ${seed}, ${seconds} s, ${
    Math.round(rows.reduce((sum, row) => sum + row.milliseconds, 0) / rows.length)
  } ms a mutant in a lane`
)

const isWhole = area === undefined && only === "" && onlyTests === ""
const file = path.join(root, "test/bench/results", isWhole ? "mutants.json" : "mutants.part.json")
const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim()
writeFileSync(
  file,
  `${
    JSON.stringify(
      {
        at: new Date(begun).toISOString(),
        commit,
        seed,
        full,
        area: area ?? null,
        node: process.version,
        jobs,
        loadBefore,
        seconds,
        baselineSeconds: Math.round(baseline / 1000),
        score: score(rows),
        areas: byArea,
        leftOut,
        mutants: rows.toSorted((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }))
      },
      null,
      2
    )
  }\n`
)
print(`written: ${path.relative(root, file)}`)
process.exit(score(rows) >= 85 || !isWhole ? 0 : 1)
