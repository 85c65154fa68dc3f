/** `km transcript`: what a runtime has stored of a session, unpacked, and nothing else on standard output. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer } from "effect"
import { gzipSync } from "node:zlib"
import { Alias, InstallName, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { World } from "../support/ControlWorld.ts"
import { slackProfile } from "../support/profiles.ts"
import { TestKm } from "../support/TestKm.ts"

const id = SandboxId.make("sb-00000001")
const session = "0b0b0b0b-1111-4222-8333-444444444444"

const created = (world: World) =>
  Effect.flatMap(Provisioning, (provisioning) =>
    provisioning.create({
      id,
      install: InstallName.make("km"),
      alias: Alias.make("demo"),
      profile: slackProfile,
      unconfined: false,
      readyWithin: Duration.seconds(60)
    })).pipe(Effect.provide(Provisioning.layer.pipe(Layer.provide(Teardown.layer), Layer.provide(world.layer()))))

describe("km transcript", () => {
  it.effect("writes the session's lines and nothing else; of two that are stored the longer one", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* created(world)
      const stored = (name: string, text: string) => {
        world.objects.set(id, new Set([...world.objects.get(id) ?? [], name]))
        world.contents.set(name, gzipSync(text))
      }
      stored(`transcripts/${session}/a.jsonl.gz`, "{\"a\":1}\n")
      stored(`transcripts/${session}/b.jsonl.gz`, "{\"a\":1}\n{\"b\":2}\n")
      stored("transcripts/11111111-1111-4222-8333-444444444444/c.jsonl.gz", "{\"other\":true}\n".repeat(9))
      const km = new TestKm(world)
      assert.deepStrictEqual((yield* km.run("transcript", "demo", session)).out, ["{\"a\":1}\n{\"b\":2}"])
    }))

  it.effect("says what there is not, with a code and what to do", () =>
    Effect.gen(function*() {
      const world = new World()
      yield* created(world)
      const km = new TestKm(world)
      const none = yield* km.run("transcript", "demo", session)
      assert.deepStrictEqual([none.exit, none.out], [3, []])
      assert.include(none.err.join("\n"), "KM-CLI-047")
      assert.strictEqual((yield* km.run("transcript", "demo", "not/a/session")).exit, 2)
      world.objects.set(id, new Set([`transcripts/${session}/a.jsonl.gz`]))
      world.contents.set(`transcripts/${session}/a.jsonl.gz`, Buffer.from("no gzip"))
      assert.strictEqual((yield* km.run("transcript", "demo", session)).exit, 3)
    }))
})
