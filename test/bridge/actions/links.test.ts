import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Option, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { ExpiringLinks, linkMillis } from "../../../bridge/actions/ExpiringLinks.ts"
import { BridgeSettings } from "../../../bridge/BridgeSettings.ts"
import * as MemoryObjects from "../../../runtime/ports/memory/MemoryObjects.ts"
import * as MemorySecrets from "../../../runtime/ports/memory/MemorySecrets.ts"
import { Objects } from "../../../runtime/ports/Objects.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { certifier, host, install, sandbox } from "../world.ts"

const layer = ExpiringLinks.layer.pipe(
  Layer.provideMerge(Layer.merge(MemoryObjects.layer, MemorySecrets.layer)),
  Layer.provide(BridgeSettings.layer({
    install,
    host,
    publicUrl: "https://bridge.test",
    certifierPublicKey: certifier.publicKey,
    slackApiUrl: "http://127.0.0.1:9/api/",
    operators: new Set(),
    rateScale: 1
  }))
)

describe("links to files", () => {
  it.effect("work for seven days, under a rotated key too, and not a millisecond longer", () =>
    Effect.gen(function*() {
      const links = yield* ExpiringLinks
      const secrets = yield* Secrets
      yield* secrets.put("bridge/link-key", Redacted.make("first"))
      yield* (yield* Objects).put(sandbox, "a.txt", Stream.make(Buffer.from("abc")))
      const url = Option.getOrThrow(
        yield* links.make({ owner: sandbox, object: "a.txt", filename: "a.txt", size: 3 })
      )
      assert.match(url, /^https:\/\/bridge\.test\/files\//)
      const status = Effect.map(links.serve(new URL(url).pathname.slice("/files/".length)), (answer) => answer.status)
      assert.strictEqual(yield* status, 200)
      yield* secrets.put("bridge/link-key", Redacted.make("second\nfirst"))
      yield* TestClock.adjust(Duration.millis(linkMillis - 1))
      assert.strictEqual(yield* status, 200)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* status, 404)
    }).pipe(Effect.provide(layer)))

  it.effect("end with the key before the one that is being replaced", () =>
    Effect.gen(function*() {
      const links = yield* ExpiringLinks
      const secrets = yield* Secrets
      yield* secrets.put("bridge/link-key", Redacted.make("first"))
      yield* (yield* Objects).put(sandbox, "a.txt", Stream.make(Buffer.from("abc")))
      const url = Option.getOrThrow(
        yield* links.make({ owner: sandbox, object: "a.txt", filename: "a.txt", size: 3 })
      )
      yield* secrets.put("bridge/link-key", Redacted.make("third\nsecond\nfirst"))
      yield* TestClock.adjust("1 minute")
      const { status } = yield* links.serve(new URL(url).pathname.slice("/files/".length))
      assert.strictEqual(status, 404)
    }).pipe(Effect.provide(layer)))

  it.effect("end when the object or the key is gone", () =>
    Effect.gen(function*() {
      const links = yield* ExpiringLinks
      const secrets = yield* Secrets
      const objects = yield* Objects
      yield* secrets.put("bridge/link-key", Redacted.make("first"))
      yield* objects.put(sandbox, "a.txt", Stream.make(Buffer.from("abc")))
      const url = Option.getOrThrow(
        yield* links.make({ owner: sandbox, object: "a.txt", filename: "a.txt", size: 3 })
      )
      const status = Effect.map(links.serve(new URL(url).pathname.slice("/files/".length)), (answer) => answer.status)
      yield* objects.delete(sandbox, "a.txt")
      assert.strictEqual(yield* status, 404)
      yield* objects.put(sandbox, "a.txt", Stream.make(Buffer.from("abc")))
      assert.strictEqual(yield* status, 200)
      yield* secrets.put("bridge/link-key", Redacted.make("second"))
      // Secrets are held for at most 30 s.
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* status, 404)
    }).pipe(Effect.provide(layer)))
})
