/**
 * How fast the bridge takes Slack's events: a real bridge process from `dist/` on the embedded engine (`synchronous=FULL`),
 * signed requests from this process over kept connections and each over one of its own, and a Slack that answers at once,
 * so that only our time counts.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { type BenchRow, meets, percentile } from "./BenchRow.ts"
import { residentMiB, startBridge } from "./eventBridge.ts"
import { Asker, atOnce, eventBody, paced, saturate, signedRequest, tsOf, wait } from "./eventLoad.ts"

const steadyEvents = 1_000
const steadyPerSecond = 50
const burstEvents = 10_000
/** On connections of their own, in parts that alternate with as many on kept ones. */
const newEvents = 1_000
const newRounds = 3
const atOnceEvents = 3_000
const connections = 64
const markEvents = 40
const text = "a message of ordinary length, as people write them"

const row = (name: string, unit: BenchRow["unit"], value: number, target: string, samples?: ReadonlyArray<number>) => ({
  area: "bridge",
  name,
  unit,
  value,
  target,
  ok: meets(value, target),
  ...(samples === undefined ? {} : { p50: percentile(samples, 50), p99: percentile(samples, 99) })
})

const request = (channel: string, n: number, connection?: "close") =>
  signedRequest(eventBody(channel, tsOf(n), text), connection)
const requests = (channel: string, from: number, count: number, connection?: "close") =>
  Array.from({ length: count }, (_, n) => request(channel, from + n, connection))

const channels = ["C0STEADY01", "C0BURST001", "C0MARKS001", "C0NEWCONN1"] as const
const [steady, burst, marked, fresh] = channels

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "km-bench-"))
  const { child, marks, port, stop, stored } = await startBridge(root, channels)
  const askers = Array.from({ length: 4 }, () => new Asker(port))
  const ask = async (n: number, bytes: Buffer) => (await askers[n % askers.length]?.ask(bytes)) ?? Number.NaN
  try {
    // The first requests compile the code; a bridge that has run for a second is the one that is measured.
    await saturate(port, requests("C0NOBODY01", 0, 200), connections, "kept")

    const asked = new Map<string, number>()
    await paced(markEvents, 5, (n) => {
      asked.set(tsOf(n), performance.now())
      return ask(n, request(marked, n))
    })
    await wait(500)
    const toMark = [...asked].map(([ts, at]) => (marks.get(ts) ?? Number.POSITIVE_INFINITY) - at)

    const latencies = await paced(steadyEvents, steadyPerSecond, (n) => ask(n, request(steady, n)))
    const lostSteady = steadyEvents - (await stored(steady))

    const kept = await saturate(port, requests(burst, 0, burstEvents), connections, "kept")
    const lostBurst = burstEvents - (await stored(burst))

    const ratios: Array<number> = []
    const rates: Array<number> = []
    for (let n = 0; n < newRounds; n++) {
      const from = n * 2 * newEvents
      const alone = await saturate(port, requests(fresh, from, newEvents, "close"), connections, "new")
      const beside = await saturate(port, requests(fresh, from + newEvents, newEvents), connections, "kept")
      rates.push(alone.perSecond)
      ratios.push(alone.perSecond / beside.perSecond)
    }
    const last = Math.max(...await atOnce(port, requests(fresh, newRounds * 2 * newEvents, atOnceEvents, "close")))
    const lostNew = newRounds * 2 * newEvents + atOnceEvents - (await stored(fresh))

    return [
      row("/events: request to 200 at 50/s, p99", "ms", percentile(latencies, 99), "<= 60", latencies),
      row("/events saturated", "1/s", kept.perSecond, ">= 1000"),
      row("/events saturated, each on a new connection", "1/s", percentile(rates, 50), ""),
      row("… against kept ones", "x", percentile(ratios, 50), ">= 0.8"),
      row("3,000 on new connections at once, the last answer", "ms", last, "<= 1500"),
      row("/events: answered 200 and not stored", "count", lostSteady + lostBurst + lostNew, "= 0"),
      row("memory of the bridge behind all of them", "MiB", residentMiB(child.pid ?? 0), "<= 150"),
      row(
        "event received to 👀 asked for, p95, Slack's own time left out",
        "ms",
        percentile(toMark, 95),
        "<= 150",
        toMark
      )
    ]
  } finally {
    for (const asker of askers) asker.close()
    await stop()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
