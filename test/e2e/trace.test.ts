/** One message, one trace: from Slack's event in the bridge over the turn in the runtime to the post of the answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { workingEmoji } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { type CollectedSpan, startCollector } from "../support/Collector.ts"
import { ledgerOf } from "../support/ledgerOf.ts"
import { profileWith } from "../support/profiles.ts"
import { filesBelow, reactionsOf, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

/** The names from a span up to the root of its trace, each with its service. */
const pathOf = (spans: ReadonlyMap<string, CollectedSpan>, from: CollectedSpan): ReadonlyArray<string> => {
  const names: Array<string> = []
  for (let at: CollectedSpan | undefined = from; at !== undefined; at = spans.get(at.parent ?? "")) {
    names.push(`${at.service} ${at.name}`)
  }
  return names
}

const withoutTranscript = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true
})

/** Requests of the runtime that the bridge carried out, by what they asked for. */
const requestsIn = (trace: ReadonlyArray<CollectedSpan>): ReadonlyArray<string> =>
  trace.filter(({ name }) => name === "V2Handler.carryOut").map(({ attributes }) => attributes["km.action"] ?? "")

describe("telemetry", () => {
  it.live("is one trace from Slack's event to the answer, without a word of it", () =>
    Effect.gen(function*() {
      const collector = yield* startCollector
      const stack = yield* startStack({ env: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }) })
      const sandbox = yield* stack.sandbox()
      const messages = [
        yield* sandbox.say("the word is xylophonist script:text"),
        yield* sandbox.say("it is xylophonist again script:tools:1")
      ]
      yield* untilReal(
        "both turns are settled",
        Effect.map(
          ledgerOf(stack.state, sandbox.row.id),
          (rows) => rows.length === 2 && rows.every(({ state }) => state === "settled")
        )
      )
      // What was recorded leaves at the end at the latest.
      yield* stack.runtime.end("SIGTERM")
      yield* stack.bridge.end("SIGTERM")

      const all = collector.spans()
      const byId = new Map(all.map((span) => [span.spanId, span]))
      const traces = messages.map((ts) => {
        const taken = all.find(({ attributes, name }) =>
          name === "Acceptance.take" && attributes["km.turn"]?.endsWith(ts) === true
        )
        if (taken === undefined) return assert.fail(`no span says that ${ts} was taken`)
        return all.filter(({ traceId }) => traceId === taken.traceId)
      })
      for (const [n, trace] of traces.entries()) {
        const named = (name: string) => trace.filter((span) => span.name === name)
        for (const name of ["SlackInbound.handle", "Turn.run", "Agent.start", "Agent.run", "Marks.apply"]) {
          assert.lengthOf(named(name), 1, `${name} of message ${n}`)
        }
        const [turn] = named("Turn.run")
        assert.strictEqual(turn?.service, "km-runtime")
        assert.strictEqual(turn?.attributes["km.sandbox"], sandbox.row.id)
        assert.isTrue(turn?.attributes["km.turn"]?.endsWith(messages[n] ?? "?"))
        assert.strictEqual(named("Agent.run")[0]?.attributes["km.outcome"], "Answered")
        const posts = named("SlackApi.call").filter(({ attributes }) =>
          attributes["km.slack.method"] === "chat.postMessage"
        )
        assert.isNotEmpty(posts)
        for (const post of posts) {
          const way = pathOf(byId, post)
          assert.includeMembers([...way], ["km-bridge V2Handler.carryOut", "km-runtime BridgeClient.call"])
          assert.deepStrictEqual(way.slice(-4), [
            "km-runtime Turn.run",
            "km-bridge EventIntake.take",
            "km-bridge HttpEvents.handle",
            "km-bridge POST"
          ])
        }
      }
      // Each message has its own.
      assert.notStrictEqual(traces[0]?.[0]?.traceId, traces[1]?.[0]?.traceId)
      assert.isEmpty(all.filter(({ attributes }) => attributes["url.path"] === "/healthz"))

      const everything = collector.bodies().join("\n")
      const { secrets } = statePaths(stack.state)
      const forbidden = [
        "xylophonist",
        "Ran 1 commands",
        "true # 1 of 1",
        stack.workspace.botToken,
        stack.workspace.signingSecret,
        // The numbers that readers are pinned to lie there too, for their keeper; they are no secrets.
        ...filesBelow(secrets).filter((name) => !/directory-pin|last-revocation/.test(name)).map((name) =>
          fs.readFileSync(path.join(secrets, name), "utf8").trim()
        )
      ]
      assert.isAbove(forbidden.length, 8)
      for (const text of forbidden) {
        assert.isAbove(text.length, 8)
        assert.isFalse(everything.includes(text), `telemetry holds ${text}`)
        assert.isFalse(`${stack.bridge.log()}${stack.runtime.log()}`.includes(text), `a log holds ${text}`)
      }
    }))
  it.live("counts the bridge's requests of a turn: one before the agent, one for the answer, one after it", () =>
    Effect.gen(function*() {
      const collector = yield* startCollector
      const stack = yield* startStack({ env: () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url }) })
      const sandbox = yield* stack.sandbox(withoutTranscript)
      const first = yield* sandbox.say("one script:tools:2")
      yield* sandbox.untilReaction(first, "white_check_mark")
      const second = yield* sandbox.say("two script:text", first)
      yield* sandbox.untilReaction(second, "white_check_mark")
      yield* untilReal(
        "both turns are settled",
        Effect.map(
          ledgerOf(stack.state, sandbox.row.id),
          (rows) => rows.length === 2 && rows.every(({ state }) => state === "settled")
        )
      )
      yield* stack.runtime.end("SIGTERM")
      yield* stack.bridge.end("SIGTERM")
      const all = collector.spans()
      for (const ts of [first, second]) {
        const turn = all.find(({ attributes, name }) =>
          name === "Turn.run" && attributes["km.turn"]?.endsWith(ts) === true
        )
        const trace = all.filter(({ traceId }) => traceId === turn?.traceId)
        assert.deepStrictEqual(requestsIn(trace), ["batch", "post", "batch"])
        const marks = trace.filter(({ name }) => name === "SlackApi.call")
          .map(({ attributes }) => attributes["km.slack.method"])
        assert.includeMembers(marks, ["reactions.add", "chat.postMessage"])
      }
      // The second went on in the first one's session, so that both batches did what they were for.
      const rows = yield* ledgerOf(stack.state, sandbox.row.id)
      assert.strictEqual(new Set(rows.map(({ session }) => session)).size, 1)
      assert.notInclude(reactionsOf(yield* sandbox.thread(second)), workingEmoji)
    }))
})
