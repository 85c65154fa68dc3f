/**
 * What the refreshes of Socket Mode cost: 200 of each kind, the bridge in memory against the local workspace's endpoint,
 * over real sockets on a clock that stands still while they talk. Beside it Slack's own client at one refresh, in real time.
 */
import { SocketModeClient } from "@slack/socket-mode"
import { LogLevel } from "@slack/web-api"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { type Refresh, refreshed, refreshes } from "../support/socketRefreshes.ts"
import { testWorkspace } from "../support/Workspace.ts"
import { type BenchRow, meets } from "./BenchRow.ts"

const times = 200

const quiet = () => undefined

/** Milliseconds in which Slack's client has no connection at an ordinary refresh. */
const deafnessOfSdk = Effect.scoped(Effect.gen(function*() {
  const workspace = yield* testWorkspace({ sockets: { enabled: true } })
  const client = new SocketModeClient({
    appToken: workspace.appToken,
    clientOptions: { slackApiUrl: workspace.apiUrl, allowAbsoluteUrls: true },
    logger: {
      debug: quiet,
      info: quiet,
      warn: quiet,
      error: quiet,
      setLevel: quiet,
      getLevel: () => LogLevel.ERROR,
      setName: quiet
    }
  })
  yield* Effect.promise(() => client.start())
  const from = yield* workspace.lastChange
  yield* workspace.sockets.disconnect("refresh_requested")
  const socket = (event: string) =>
    workspace.waitFor(({ data, kind }) => kind === "socket" && data["event"] === event, from)
  const closed = yield* socket("closed")
  const opened = yield* socket("opened")
  yield* Effect.promise(() => client.disconnect())
  return opened.at - closed.at
}))

const row = (name: string, unit: BenchRow["unit"], value: number, target: string, baseline?: number): BenchRow => ({
  area: "socket",
  name,
  unit,
  value,
  target,
  ok: meets(value, target),
  ...(baseline === undefined ? {} : { baseline, ratio: value / baseline })
})

export const run = async (): Promise<ReadonlyArray<BenchRow>> => {
  const results: Array<Refresh & Effect.Success<ReturnType<typeof refreshed>>> = []
  for (const refresh of refreshes) {
    const result = await Effect.runPromise(Effect.provide(refreshed(refresh, times), TestClock.layer()))
    results.push({ ...refresh, ...result })
  }
  const sdk = await Effect.runPromise(deafnessOfSdk)
  const sum = (of: (result: (typeof results)[number]) => number) => results.reduce((all, one) => all + of(one), 0)
  const announced = results.filter((result) => result.announced)
  return [
    row(
      `time without a connection in ${times * announced.length} announced refreshes; baseline: @slack/socket-mode, one`,
      "ms",
      announced.reduce((all, { deafMillis }) => all + deafMillis, 0),
      "= 0",
      sdk
    ),
    row(
      `turns lost of ${sum(({ said }) => said)} envelopes, ${times} refreshes of each kind`,
      "count",
      sum(({ lost }) => lost),
      "= 0"
    ),
    row("turns doubled", "count", sum(({ doubled }) => doubled), "= 0"),
    row("connections open at one time", "count", Math.max(...results.map(({ mostOpen }) => mostOpen)), "<= 2")
  ]
}
