/** The bridge's own turns of pull requests, without a wire between: for the proxies of several sandboxes in one test. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { PullHolds } from "../../bridge/actions/PullHolds.ts"
import type { BridgeRefusal } from "../../bridge/BridgeErrors.ts"
import { BridgeSettings } from "../../bridge/BridgeSettings.ts"
import { InstallName, requestIdOf, type SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"
import * as MemoryIdempotency from "../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemorySandboxes from "../../runtime/ports/memory/MemorySandboxes.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { otherSandbox, rowOf, sandbox } from "../bridge/world.ts"

const settings = BridgeSettings.layer({
  install: InstallName.make("km"),
  host: "bridge.test",
  certifierPublicKey: new Uint8Array(32),
  slackApiUrl: "http://slack.test/api/",
  operators: new Set(),
  rateScale: 1
})

export interface PullBridge {
  /** As each of the two sandboxes has it; both may write repository 7 of github.com. */
  readonly of: (sender: SandboxId) => Bridge["Service"]
  /** Calls that were answered, in order: `sb-00000001 pull.hold in_progress`. */
  readonly answered: Array<string>
}

export const pullBridge: Effect.Effect<PullBridge> = Effect.gen(function*() {
  const context = yield* Effect.scoped(Layer.build(
    PullHolds.layer.pipe(
      Layer.provideMerge(Layer.mergeAll(MemoryIdempotency.layer, MemorySandboxes.layer, settings))
    )
  ))
  const grant = {
    host: "github.com",
    app: 1,
    installation: 1,
    account: "my-org",
    all: false,
    repositories: [{ id: 7, name: "api" }],
    writes: true
  }
  const { holds } = yield* Effect.gen(function*() {
    const sandboxes = yield* Sandboxes
    for (const id of [sandbox, otherSandbox]) {
      yield* Effect.orDie(sandboxes.insert({ ...rowOf(id, undefined), github: [grant] }))
    }
    return { holds: yield* PullHolds }
  }).pipe(Effect.provideContext(context))
  const answered: Array<string> = []
  return {
    answered,
    of: (sender) =>
      Bridge.of({
        call: ({ action, key }) => {
          const caller = { sender, id: requestIdOf(key) }
          const asked = action.action === "pull.hold"
            ? holds.hold(caller, action)
            : action.action === "pull.release"
            ? holds.release(caller, action)
            : Effect.die(`the bridge of this test knows no ${action.action}`)
          const say = (word: string) => Effect.sync(() => void answered.push(`${sender} ${action.action} ${word}`))
          return asked.pipe(
            Effect.mapError(({ code, detail }: BridgeRefusal) =>
              new BridgeRefused({ action: action.action, code, detail })
            ),
            Effect.tap(() => say("ok")),
            Effect.tapError(({ code }) => say(code))
          )
        }
      })
  }
})
