import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Acceptance } from "../../bridge/events/Acceptance.ts"
import type { IncomingMessage } from "../../bridge/events/Incoming.ts"
import { Marks } from "../../bridge/events/Marks.ts"
import { Notes } from "../../bridge/events/Notes.ts"
import { Outsiders } from "../../bridge/events/Outsiders.ts"
import { Progress } from "../../bridge/events/Progress.ts"
import { Refusals } from "../../bridge/events/Refusals.ts"
import { Words } from "../../bridge/events/Words.ts"
import { BotIdentity } from "../../bridge/slack/BotIdentity.ts"
import { ChannelId, MessageTs, TeamId, UserId } from "../../runtime/domain/sandbox/Ids.ts"
import { Audit, type AuditRecord } from "../../runtime/ports/Audit.ts"
import { Errands } from "../../runtime/ports/Errands.ts"
import * as MemoryControls from "../../runtime/ports/memory/MemoryControls.ts"
import * as MemorySandboxes from "../../runtime/ports/memory/MemorySandboxes.ts"
import * as MemorySeen from "../../runtime/ports/memory/MemorySeen.ts"
import * as MemoryThreads from "../../runtime/ports/memory/MemoryThreads.ts"
import * as MemoryTurnQueue from "../../runtime/ports/memory/MemoryTurnQueue.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Seen } from "../../runtime/ports/Seen.ts"
import { StoreError } from "../../runtime/ports/StoreError.ts"
import { rowOf, sandbox } from "./world.ts"

const channel = ChannelId.make("C0CHANNEL1")
const stranger = UserId.make("U0STRANGER")
const message = (n: number, changes: Partial<IncomingMessage> = {}): IncomingMessage => ({
  team: TeamId.make("T0TEAM0001"),
  channel,
  ts: MessageTs.make(`1800000000.00000${n}`),
  threadTs: MessageTs.make("1800000000.000000"),
  user: stranger,
  userTeam: "T0ELSEWHERE",
  text: "hello",
  files: [],
  mention: false,
  externalPossible: true,
  gestures: [],
  ...changes
})

/** One sandbox in the channel, and what was written down and shown, in order. */
const place = (options: { readonly broken?: { now: boolean }; readonly seen?: Layer.Layer<Seen> } = {}) => {
  const entries: Array<AuditRecord> = []
  const shown: Array<string> = []
  const audit = Layer.mock(Audit, {
    record: (entry) =>
      Effect.andThen(
        Effect.yieldNow,
        options.broken?.now === true
          ? new StoreError({ port: "Audit", operation: "record", reason: "Full", detail: "", cause: undefined })
          : Effect.sync(() => {
            entries.push(entry)
            shown.push("written")
          })
      )
  })
  const outside = Layer.mergeAll(
    Layer.mock(BotIdentity, { known: () => undefined, knownName: () => undefined, learn: () => Effect.void }),
    Layer.mock(Marks, { set: ({ emoji }) => void shown.push(emoji) }),
    Layer.mock(Outsiders, { mayDrive: () => Effect.succeed(false) }),
    Layer.mock(Notes, { put: () => Effect.sync(() => void shown.push("note")) })
  )
  const layer = Acceptance.layer.pipe(
    Layer.provideMerge(Layer.mock(Words, { stored: () => Effect.void })),
    Layer.provideMerge(Layer.merge(Refusals.layer, Layer.provide(Progress.layer, Errands.layerMemory))),
    Layer.provideMerge(Layer.mergeAll(audit, outside, options.seen ?? MemorySeen.layer)),
    Layer.provideMerge(
      Layer.mergeAll(MemoryControls.layer, MemorySandboxes.layer, MemoryThreads.layer, MemoryTurnQueue.layer)
    )
  )
  const run = <A, E>(effect: (acceptance: Acceptance["Service"]) => Effect.Effect<A, E>) =>
    Effect.gen(function*() {
      yield* (yield* Sandboxes).insert(rowOf(sandbox, channel))
      return yield* effect(yield* Acceptance)
    }).pipe(Effect.provide(layer))
  return { entries, shown, run }
}

describe("the refusal of a person", () => {
  it.effect("is in the audit before the person is shown it, without the text", () =>
    Effect.gen(function*() {
      const { entries, run, shown } = place()
      assert.strictEqual(yield* run((acceptance) => acceptance.take(message(1), undefined)), "refused")
      assert.deepStrictEqual(shown, ["written", "no_entry_sign", "note"])
      assert.deepStrictEqual(entries, [{
        actor: stranger,
        action: "person.refuse",
        subject: sandbox,
        rule: "KM-SLK-014",
        verdict: "refused",
        detail: `${channel}:1800000000.000000`
      }])
    }))

  it.effect("is written once per person, thread and reason, also of many at once, and each waits for it", () =>
    Effect.gen(function*() {
      const { entries, run, shown } = place()
      yield* run((acceptance) =>
        Effect.gen(function*() {
          yield* Effect.forEach([1, 2, 3, 4], (n) => acceptance.take(message(n), undefined), {
            concurrency: "unbounded"
          })
          assert.strictEqual(shown[0], "written")
          yield* acceptance.take(message(5), undefined)
          assert.lengthOf(entries, 1)
          yield* acceptance.take(message(6, { threadTs: MessageTs.make("1800000000.000006") }), undefined)
          yield* acceptance.take(message(7, { user: UserId.make("U0ANOTHER1") }), undefined)
          yield* acceptance.refuseAfter(message(8), new Error("poison"))
        })
      )
      assert.deepStrictEqual(entries.map(({ actor, rule }) => `${actor} ${rule}`), [
        "U0STRANGER KM-SLK-014",
        "U0STRANGER KM-SLK-014",
        "U0ANOTHER1 KM-SLK-014",
        "U0STRANGER KM-SLK-015"
      ])
      // Where no sandbox is known, the entry is about the channel.
      assert.strictEqual(entries[3]?.subject, channel)
    }))

  it.effect("stands though it cannot be written, and the next one is tried again", () =>
    Effect.gen(function*() {
      const broken = { now: true }
      const { entries, run, shown } = place({ broken })
      yield* run((acceptance) =>
        Effect.gen(function*() {
          assert.strictEqual(yield* acceptance.take(message(1), undefined), "refused")
          assert.deepStrictEqual(shown, ["no_entry_sign", "note"])
          broken.now = false
          assert.strictEqual(yield* acceptance.take(message(2), undefined), "refused")
        })
      )
      assert.lengthOf(entries, 1)
    }))

  it.effect("is written though nobody can tell whether it was before", () =>
    Effect.gen(function*() {
      const failing = new StoreError({
        port: "Seen",
        operation: "x",
        reason: "Unavailable",
        detail: "",
        cause: undefined
      })
      let calls = 0
      const seen = Layer.mock(Seen, {
        // The first look is the acceptance's own.
        find: () => calls++ === 0 ? Effect.succeedNone : Effect.fail(failing),
        mark: () => Effect.fail(failing)
      })
      const { entries, run } = place({ seen })
      assert.strictEqual(yield* run((acceptance) => acceptance.take(message(1), undefined)), "refused")
      assert.lengthOf(entries, 1)
    }))
})
