/** A runtime says which of its turns are open: what runs, what waits, and nothing once they are over. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, FileSystem, Layer, Logger } from "effect"
import { TurnParties } from "../../../runtime/kernel/turns/TurnParties.ts"
import { TurnPipeline } from "../../../runtime/kernel/turns/TurnPipeline.ts"
import * as MemoryReports from "../../../runtime/ports/memory/MemoryReports.ts"
import * as MemoryTurnRecords from "../../../runtime/ports/memory/MemoryTurnRecords.ts"
import { PluginId } from "../../../runtime/ports/Plugin.ts"
import { Redaction } from "../../../runtime/ports/Redaction.ts"
import { Reports } from "../../../runtime/ports/Reports.ts"
import { Turns } from "../../../runtime/ports/Turns.ts"
import { reportOpenTurns } from "../../../runtime/sandbox/OpenTurns.ts"
import * as SimulatedAgent from "../kernel/simulation/SimulatedAgent.ts"
import { origin } from "../kernel/simulation/SimulatedSlack.ts"
import { elapse, info, ledger, message } from "../kernel/simulation/Simulation.ts"
import { type Incarnation, makeWorld, sandbox } from "../kernel/simulation/World.ts"

describe("the report of open turns", () => {
  it.effect("clears what an earlier process left, follows the turns, and is empty when they are over", () =>
    Effect.gen(function*() {
      const acts = [{ do: "answer", after: 600_000 }] as const
      const messages = [message(1, 1, { acts }), message(1, 2, { acts })]
      const world = makeWorld(messages)
      const incarnation: Incarnation = { number: 1, dead: false, crashed: Deferred.makeUnsafe() }
      const ports = Layer.mergeAll(
        ledger(world, incarnation),
        SimulatedAgent.layer(world, incarnation, { tellsReceived: true }),
        Redaction.layer,
        MemoryTurnRecords.layerOver(world.records),
        MemoryReports.layer,
        info,
        FileSystem.layerNoop({ makeDirectory: () => Effect.void, readDirectory: () => Effect.succeed([]) })
      )
      yield* Effect.gen(function*() {
        const reports = yield* Reports
        const left = { key: message(9, 9).request.key, state: "running" as const, since: 0 }
        yield* reports.put(sandbox, { ready: true, open: [left] })
        yield* (yield* TurnParties).addOrigin(PluginId.make("origin"), origin(world, incarnation, 1))
        yield* (yield* TurnPipeline).begin
        yield* Effect.forkScoped(reportOpenTurns(sandbox))
        yield* elapse("1 second")
        assert.deepStrictEqual(yield* reports.get(sandbox), { ready: true, plugins: [], open: [] })
        for (const { request } of messages) yield* (yield* Turns).submit(request, undefined)
        yield* elapse("1 minute")
        assert.deepStrictEqual(
          (yield* reports.get(sandbox)).open?.map(({ key, state }) => [key, state]),
          [[messages[0]?.request.key, "running"], [messages[1]?.request.key, "received"]]
        )
        yield* elapse("30 minutes")
        assert.deepStrictEqual((yield* reports.get(sandbox)).open, [])
      }).pipe(Effect.provide(TurnPipeline.layer.pipe(Layer.provideMerge(ports))))
    }).pipe(Effect.scoped, Effect.provide(Logger.layer([]))))
})
