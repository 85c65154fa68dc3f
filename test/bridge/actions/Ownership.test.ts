/** Where a sender may act: its own channel, in a shared one its own threads and messages; the operator everywhere. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Ownership } from "../../../bridge/actions/Ownership.ts"
import { ChannelId, MessageTs, type SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import * as MemoryPosts from "../../../runtime/ports/memory/MemoryPosts.ts"
import * as MemorySandboxes from "../../../runtime/ports/memory/MemorySandboxes.ts"
import { Posts } from "../../../runtime/ports/Posts.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { otherSandbox, rowOf, sandbox } from "../world.ts"

const own = ChannelId.make("C0OWN00001")
const former = ChannelId.make("C0FORMER01")
const shared = ChannelId.make("C0SHARED01")
const at = (n: number) => MessageTs.make(`1700000000.00000${n}`)
const ports = Layer.merge(MemorySandboxes.layer, MemoryPosts.layer)
const layer = Ownership.layer.pipe(Layer.provideMerge(ports))

/** `undefined` where it may, else the words of the refusal. */
const verdict = <A, E extends { readonly code: string; readonly detail: string }>(
  act: (ownership: Ownership["Service"]) => Effect.Effect<A, E>
) =>
  Effect.flatMap(Ownership, (ownership) =>
    act(ownership).pipe(
      Effect.match({ onSuccess: () => undefined, onFailure: ({ code, detail }) => `${code}: ${detail}` })
    ))

/** One sandbox with its own channel, which had another id, and one in a shared channel. */
const scene = Effect.gen(function*() {
  const sandboxes = yield* Sandboxes
  const posts = yield* Posts
  yield* sandboxes.insert({ ...rowOf(sandbox, own), formerChannels: [former] })
  yield* sandboxes.insert(rowOf(otherSandbox, shared, { channelMode: "shared" }))
  yield* posts.record({ sender: sandbox, channel: own, ts: at(1) })
  yield* posts.record({ sender: sandbox, channel: former, ts: at(2) })
  yield* posts.record({ sender: otherSandbox, channel: shared, ts: at(3) })
  yield* posts.record({ sender: "operator", channel: shared, ts: at(4) })
})

const channel = (sender: SenderId, id: ChannelId) => verdict((ownership) => ownership.channel(sender, id))
const thread = (sender: SenderId, id: ChannelId, ts?: MessageTs) =>
  verdict((ownership) => ownership.thread(sender, id, ts))
const message = (sender: SenderId, id: ChannelId, ts: MessageTs) =>
  verdict((ownership) => ownership.message(sender, id, ts))

describe("a sender", () => {
  it.effect("acts in its own channel and in no other; the operator in each", () =>
    Effect.gen(function*() {
      yield* scene
      assert.isUndefined(yield* channel(sandbox, own))
      assert.strictEqual(yield* channel(sandbox, shared), `forbidden: ${shared} is not the channel of ${sandbox}`)
      assert.strictEqual(yield* channel(otherSandbox, own), `forbidden: ${own} is not the channel of ${otherSandbox}`)
      assert.isUndefined(yield* channel("operator", own))
      assert.isUndefined(yield* channel("operator", shared))
    }).pipe(Effect.provide(layer)))

  it.effect("acts in every thread of its own channel, and in a shared one in those that it started", () =>
    Effect.gen(function*() {
      yield* scene
      assert.isUndefined(yield* thread(sandbox, own, at(9)))
      assert.isUndefined(yield* thread(otherSandbox, shared))
      assert.isUndefined(yield* thread(otherSandbox, shared, at(3)))
      const refused = `forbidden: in a shared channel ${otherSandbox} acts only in threads it started`
      assert.strictEqual(yield* thread(otherSandbox, shared, at(4)), refused)
      assert.strictEqual(yield* thread(otherSandbox, shared, at(9)), refused)
      assert.isUndefined(yield* thread("operator", shared, at(3)))
      assert.isUndefined(yield* thread("operator", own, at(9)))
    }).pipe(Effect.provide(layer)))

  it.effect("changes what it posted itself, also under a former id of its channel", () =>
    Effect.gen(function*() {
      yield* scene
      assert.isUndefined(yield* message(sandbox, own, at(1)))
      assert.isUndefined(yield* message(sandbox, own, at(2)))
      assert.strictEqual(yield* message(sandbox, own, at(3)), `forbidden: ${sandbox} did not post ${at(3)}`)
      assert.strictEqual(
        yield* message(otherSandbox, shared, at(4)),
        `forbidden: ${otherSandbox} did not post ${at(4)}`
      )
      assert.isUndefined(yield* message("operator", shared, at(3)))
    }).pipe(Effect.provide(layer)))

  it.effect("is led from a former id of its channel to the present one", () =>
    Effect.gen(function*() {
      yield* scene
      const ownership = yield* Ownership
      assert.strictEqual(yield* ownership.present(sandbox, former), own)
      assert.strictEqual(yield* ownership.present(sandbox, shared), shared)
      assert.strictEqual(yield* ownership.present(otherSandbox, former), former)
      assert.strictEqual(yield* ownership.present("operator", former), former)
    }).pipe(Effect.provide(layer)))
})
