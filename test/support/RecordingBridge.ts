/** Port `Bridge` that keeps what it was asked, acts like an idempotent bridge, and refuses what the test says. */
import { Effect, Layer } from "effect"
import { MessageTs } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeAction, BridgeErrorCode, BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import type { BridgeCall } from "../../runtime/ports/Bridge.ts"
import { Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"

export interface RecordingBridge {
  /** Every call, repeated ones too. */
  readonly calls: Array<BridgeCall>
  /** What a person would see: one entry for each key, in the order of their first calls. */
  readonly effects: () => ReadonlyArray<{ readonly key: string; readonly action: BridgeAction }>
  readonly layer: Layer.Layer<Bridge>
}

export const recordingBridge = (
  options: {
    readonly refuse?: (call: BridgeCall) => BridgeErrorCode | undefined
    readonly answer?: (call: BridgeCall) => Partial<BridgeResult> | undefined
  } = {}
): RecordingBridge => {
  const calls: Array<BridgeCall> = []
  const results = new Map<string, BridgeResult>()
  const done = new Map<string, BridgeAction>()
  return {
    calls,
    effects: () => [...done].map(([key, action]) => ({ key, action })),
    layer: Layer.succeed(Bridge)(Bridge.of({
      call: (call) =>
        Effect.suspend(() => {
          calls.push(call)
          const code = options.refuse?.(call)
          if (code !== undefined) {
            return Effect.fail(new BridgeRefused({ action: call.action.action, code, detail: "refused by the test" }))
          }
          const known = results.get(call.key)
          if (known !== undefined) return Effect.succeed({ ...known, replayed: true })
          const posts = call.action.action === "post" || call.action.action === "live.set"
          const ts = MessageTs.make(`1800000000.${String(results.size).padStart(6, "0")}`)
          const result: BridgeResult = { ok: true, ...(posts ? { parts: [{ ts }] } : {}), ...options.answer?.(call) }
          results.set(call.key, result)
          done.set(call.key, call.action)
          return Effect.succeed(result)
        })
    }))
  }
}
