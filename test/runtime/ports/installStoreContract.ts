/** What every store of an install's settings must do: give back what was put, and never take a head back. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChainName, genesis } from "../../../runtime/domain/install/Audit.ts"
import type { Install } from "../../../runtime/domain/install/Install.ts"
import { InstallName } from "../../../runtime/domain/sandbox/Ids.ts"
import { InstallStore } from "../../../runtime/ports/InstallStore.ts"
import type { Engine } from "./Engine.ts"

const install: Install = {
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: `${"A".repeat(43)}=`,
  bridgeUrl: "http://127.0.0.1:1",
  bridgeHost: "bridge.km",
  slackApiUrl: "http://127.0.0.1:2/api/",
  local: true
}
const chain = ChainName.make("bridge-1")

export const installStoreContract = <LE>(engine: Engine<InstallStore, LE>): void => {
  const test = <E>(name: string, body: (store: InstallStore["Service"]) => Effect.Effect<void, E>) =>
    it.effect(name, () => Effect.provide(Effect.flatMap(InstallStore, body), engine.layer))

  test("says that there is no install, then gives back the last one that was put", (store) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Effect.flip(store.get))._tag, "InstallMissing")
      yield* store.put(install)
      assert.deepStrictEqual(yield* store.get, install)
      yield* store.put({ ...install, local: false })
      assert.isFalse((yield* store.get).local)
    }))

  test("a chain's head goes forward only", (store) =>
    Effect.gen(function*() {
      const head = (length: number, digit: string) => ({ chain, length, hash: digit.repeat(64) })
      assert.deepStrictEqual(yield* store.heads, [])
      yield* store.putHead({ chain, length: 0, hash: genesis })
      yield* store.putHead(head(3, "a"))
      yield* store.putHead(head(3, "a"))
      for (const back of [head(2, "b"), head(3, "b")]) {
        assert.strictEqual((yield* Effect.flip(store.putHead(back))).reason, "Denied")
      }
      assert.deepStrictEqual(yield* store.heads, [head(3, "a")])
      yield* store.putHead(head(4, "c"))
      assert.deepStrictEqual(yield* store.heads, [head(4, "c")])
    }))
}
