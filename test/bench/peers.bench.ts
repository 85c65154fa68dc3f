/**
 * `/events` beside others, in one interleaved run: the limit program (`peers/limit.ts`), `@slack/bolt` with a synced commit
 * an event, `@slack/bolt` storing nothing, and ours. Each round asks all of them the same, one after the other, and the
 * row is the median of the rounds. Raw samples go to `results/peers.samples.json`.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"
import { cpuMillis, residentMiB, type Server, startBridge, startServer, stopServer } from "./eventBridge.ts"
import { Asker, atOnce, type Coming, eventBody, paced, saturate, signedRequest, tsOf } from "./eventLoad.ts"

const here = fileURLToPath(new URL(".", import.meta.url))
const rounds = Number(process.env["ROUNDS"] ?? 3)
/** Another build of ours (a `dist` directory) to be measured beside this one. */
const before = process.env["BEFORE"]
/** Part of the events of a whole run: a look while something is being changed. */
const scale = Number(process.env["SCALE"] ?? 1)
const lanes = 64
/** Events of one round at each program. */
const roundEvents = 4_000 * scale
const newEvents = 1_500 * scale
const burstEvents = 3_000 * scale
const steadyEvents = 1_000 * scale
const steadyPerSecond = 50
const memoryEvents = 100_000 * scale
const channel = "C0PEERS001"
const text = "a message of ordinary length, as people write them"

type Name = "ours" | "before" | "limit" | "bolt with a commit an event" | "bolt storing nothing"
const names: ReadonlyArray<Name> = [
  "ours",
  ...(before === undefined ? [] : ["before" as const]),
  "limit",
  "bolt with a commit an event",
  "bolt storing nothing"
]

let made = 0
const requests = (count: number, coming: Coming = "kept") =>
  Array.from(
    { length: count },
    () => signedRequest(eventBody(channel, tsOf(made++), text), coming === "new" ? "close" : "keep-alive")
  )

/** What one program did, round by round. */
interface Samples {
  readonly perSecond: Array<number>
  readonly cpuMicros: Array<number>
  readonly newPerSecond: Array<number>
  readonly lastOfBurst: Array<number>
  steady: ReadonlyArray<number>
}

const noSamples = (): Samples => ({ perSecond: [], cpuMicros: [], newPerSecond: [], lastOfBurst: [], steady: [] })

const median = (samples: ReadonlyArray<number>) => percentile(samples, 50)

/** Pairwise, round by round: what disturbs a round disturbs both. */
const ratioOf = (ours: ReadonlyArray<number>, others: ReadonlyArray<number>): number =>
  median(ours.map((value, round) => value / (others[round] ?? Number.NaN)))

const row = (
  name: string,
  unit: BenchRow["unit"],
  value: number,
  target = "",
  more: Pick<BenchRow, "baseline" | "p50" | "p99" | "ratio"> = {}
): BenchRow => ({ area: "peers", name, unit, value, target, ok: meets(value, target), ...more })

const round = async (server: Server, samples: Samples) => {
  const pid = server.child.pid ?? 0
  const batch = requests(roundEvents)
  const used = cpuMillis(pid)
  const { perSecond } = await saturate(server.port, batch, lanes, "kept")
  samples.perSecond.push(perSecond)
  samples.cpuMicros.push((cpuMillis(pid) - used) * 1_000 / batch.length)
  samples.newPerSecond.push((await saturate(server.port, requests(newEvents, "new"), lanes, "new")).perSecond)
  samples.lastOfBurst.push(Math.max(...await atOnce(server.port, requests(burstEvents, "new"))))
}

/** All programs at the same pace at once, each on four kept connections of its own. */
const steady = async (servers: ReadonlyMap<Name, Server>): Promise<ReadonlyMap<Name, ReadonlyArray<number>>> =>
  new Map(
    await Promise.all(Array.from(servers, async ([name, { port }]) => {
      const batch = requests(steadyEvents)
      const askers = Array.from({ length: 4 }, () => new Asker(port))
      const latencies = await paced(steadyEvents, steadyPerSecond, (n) => {
        const asker = askers[n % 4]
        return asker === undefined ? Promise.resolve(Number.NaN) : asker.ask(batch[n] ?? Buffer.alloc(0))
      })
      for (const asker of askers) asker.close()
      return [name, latencies] as const
    }))
  )

const rowsOf = (all: Readonly<Record<Name, Samples>>): ReadonlyArray<BenchRow> => {
  const { limit, ours } = all
  const versus = (name: Name) => ratioOf(ours.perSecond, all[name].perSecond)
  const p = (name: Name, q: number) => percentile(all[name].steady, q)
  return [
    ...names.map((name) => row(`/events saturated, ${name}`, "1/s", median(all[name].perSecond))),
    ...(before === undefined
      ? []
      : [
        row("… ours against before", "x", versus("before")),
        row("… on new connections, ours against before", "x", ratioOf(ours.newPerSecond, all.before.newPerSecond)),
        row("… last of a burst, ours against before", "x", ratioOf(ours.lastOfBurst, all.before.lastOfBurst)),
        row("… p50 at 50/s, ours against before", "x", p("ours", 50) / p("before", 50)),
        row("… p99 at 50/s, ours against before", "x", p("ours", 99) / p("before", 99))
      ]),
    row("/events saturated, ours against limit", "x", versus("limit"), ">= 0.4"),
    row(
      "… against bolt with a commit an event",
      "x",
      versus("bolt with a commit an event"),
      ">= 3"
    ),
    row("… against bolt storing nothing", "x", versus("bolt storing nothing"), ">= 0.9"),
    ...names.map((name) =>
      row(`processor per event, saturated, ${name}`, "µs", median(all[name].cpuMicros), name === "ours" ? "<= 150" : "")
    ),
    row("events on new connections, saturated, ours", "1/s", median(ours.newPerSecond)),
    row("… of limit", "1/s", median(limit.newPerSecond)),
    row("… ours against kept ones", "x", ratioOf(ours.newPerSecond, ours.perSecond), ">= 0.8"),
    row("… limit against kept ones", "x", ratioOf(limit.newPerSecond, limit.perSecond)),
    row(`${burstEvents} new connections at once, last answer, ours`, "ms", median(ours.lastOfBurst), "<= 1500"),
    row("… of limit", "ms", median(limit.lastOfBurst)),
    ...names.map((name) =>
      row(`request to 200 at 50/s, ${name}`, "ms", p(name, 50), "", { p50: p(name, 50), p99: p(name, 99) })
    ),
    row("p50 at 50/s, ours against limit", "x", p("ours", 50) / p("limit", 50), "<= 1.3"),
    row("p99 at 50/s, ours against limit", "x", p("ours", 99) / p("limit", 99), "<= 1.5")
  ]
}

const program = (name: string, args: ReadonlyArray<string> = []) =>
  startServer(path.join(here, "peers", `${name}.ts`), args)

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-"))
  const bridge = await startBridge(root, [channel])
  const other = before === undefined
    ? undefined
    : await startBridge(path.join(root, "before"), [channel], { program: path.resolve(before, "km-bridge.mjs") })
  const servers = new Map<Name, Server>([
    ["ours", bridge],
    ...(other === undefined ? [] : [["before", other] as const]),
    ["limit", await program("limit", [path.join(root, "limit.db")])],
    ["bolt with a commit an event", await program("bolt", [path.join(root, "bolt.db")])],
    ["bolt storing nothing", await program("bolt")]
  ])
  const all: Record<Name, Samples> = {
    ours: noSamples(),
    before: noSamples(),
    limit: noSamples(),
    "bolt with a commit an event": noSamples(),
    "bolt storing nothing": noSamples()
  }
  try {
    let ours = 0
    const counted = async <A>(name: Name, work: () => Promise<A>): Promise<A> => {
      const first = made
      const result = await work()
      if (name === "ours") ours += made - first
      return result
    }
    // The first requests compile the code; a program that has run for a second is the one that is measured.
    for (const [name, server] of servers) {
      await counted(name, () => saturate(server.port, requests(2_000), lanes, "kept"))
    }
    for (let n = 0; n < rounds; n++) {
      // Each begins a round once as often as any other.
      const order = [...names.slice(n % names.length), ...names.slice(0, n % names.length)]
      for (const name of order) {
        const server = servers.get(name)
        if (server !== undefined) await counted(name, () => round(server, all[name]))
      }
      const figures = names.map((name) => `${name} ${Math.round(all[name].perSecond.at(-1) ?? 0)}/s`)
      process.stderr.write(`  round ${n + 1}: ${figures.join(", ")}\n`)
    }
    for (const [name, latencies] of await steady(servers)) all[name].steady = latencies
    ours += steadyEvents

    const resident: Array<number> = []
    for (let left = memoryEvents - ours; left > 0; left -= 2_000) {
      await counted("ours", () => saturate(bridge.port, requests(2_000), lanes, "kept"))
      resident.push(residentMiB(bridge.child.pid ?? 0))
    }
    fs.writeFileSync(path.join(here, "results", "peers.samples.json"), `${JSON.stringify({ ...all, resident })}\n`)
    const [last = Number.NaN] = resident.slice(-1)
    return [
      ...rowsOf(all),
      row(`memory of the bridge after ${memoryEvents} events`, "MiB", last, "<= 150"),
      row("… against its middle", "x", last / (resident[Math.floor(resident.length / 2)] ?? Number.NaN), "<= 1.1"),
      row("answered 200 and not stored, ours", "count", ours - (await bridge.stored(channel)), "= 0")
    ]
  } finally {
    for (const [name, server] of servers) if (name !== "ours" && name !== "before") await stopServer(server)
    await bridge.stop()
    await other?.stop()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
