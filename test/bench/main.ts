/**
 * `make bench [AREA=name]`: runs each `*.bench.ts` in a process of its own, one after the other, prints the figures and
 * writes them to `results/latest.json`, with machine, versions and date in `results/latest.conditions.json`.
 */
import { spawnSync } from "node:child_process"
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import type { BenchRow } from "./BenchRow.ts"

const here = fileURLToPath(new URL(".", import.meta.url))
const root = path.join(here, "..", "..")
const marker = "km-bench-rows:"

const print = (text: string) => process.stdout.write(`${text}\n`)

/** In the child: runs one bench and hands its rows back on the last line. */
const child = async (file: string): Promise<void> => {
  const bench: { run: () => Promise<ReadonlyArray<BenchRow>> } = await import(path.join(here, file))
  const rows = await bench.run()
  process.stdout.write(`\n${marker}${JSON.stringify(rows)}\n`, () => process.exit(0))
}

const format = (value: number | undefined) =>
  value === undefined ? "" : Number.isInteger(value) ? String(value) : value.toPrecision(3)

const parent = (area: string | undefined): void => {
  const files = readdirSync(here).filter((file) => file.endsWith(".bench.ts")).toSorted()
  // A part may have several files: `mail` is `mail.bench.ts` and `mailPrograms.bench.ts`.
  const chosen = files.filter((file) => area === undefined || file.startsWith(area))
  if (chosen.length === 0) {
    print(`no bench called ${area}; there are: ${files.map((file) => file.replace(".bench.ts", "")).join(", ")}`)
    process.exit(2)
  }
  const begun = Date.now()
  const [loadBefore] = os.loadavg()
  const rows: Array<BenchRow> = []
  const broken: Array<string> = []
  for (const file of chosen) {
    print(`# ${file}`)
    const run = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--child", file], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
      maxBuffer: 64 * 1024 * 1024,
      timeout: 900_000
    })
    const line = run.stdout.split("\n").findLast((text) => text.startsWith(marker))
    if (line === undefined) {
      broken.push(file)
      print(`  did not finish (${run.signal ?? `exit ${run.status}`})`)
      continue
    }
    const found: ReadonlyArray<BenchRow> = JSON.parse(line.slice(marker.length))
    for (const row of found) {
      rows.push(row)
      const spread = row.p50 === undefined ? "" : `  p50 ${format(row.p50)} p99 ${format(row.p99)}`
      const versus = row.ratio === undefined ? "" : `  ${format(row.ratio)}x of ${format(row.baseline)}`
      const verdict = row.target === "" ? "" : row.ok ? `  ok (${row.target})` : `  FALLS SHORT of ${row.target}`
      print(`  ${row.name}: ${format(row.value)} ${row.unit}${spread}${versus}${verdict}`)
    }
  }
  const name = area ?? "latest"
  const results = path.join(here, "results")
  const { version } = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"))
  const conditions = {
    date: new Date(begun).toISOString(),
    seconds: Math.round((Date.now() - begun) / 1_000),
    /** Over the minute before the run: what else the machine was doing. */
    loadBefore,
    machine: { cpu: os.cpus()[0]?.model, cores: os.cpus().length, memoryGiB: Math.round(os.totalmem() / 2 ** 30) },
    versions: { km: version, node: process.version, platform: `${os.platform()} ${os.release()}` }
  }
  for (const [file, content] of [[`${name}.json`, rows], [`${name}.conditions.json`, conditions]] as const) {
    writeFileSync(path.join(results, `${file}.part`), `${JSON.stringify(content, null, 2)}\n`)
    renameSync(path.join(results, `${file}.part`), path.join(results, file))
  }
  const reached = rows.filter((row) => row.ok).length
  print(`${reached} of ${rows.length} figures reach their target; see test/bench/results/${name}.json`)
  if (broken.length > 0) {
    print(`did not finish: ${broken.join(", ")}`)
    process.exit(1)
  }
}

if (process.argv[2] === "--child" && process.argv[3] !== undefined) await child(process.argv[3])
else parent(process.argv[2])
