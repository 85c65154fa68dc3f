/**
 * Keeps one live message at its newest text: at most one `live.set` a second, always one more after the last change,
 * and a durable one at the end.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import type { ChannelId, MessageTs, RequestId } from "../../runtime/domain/sandbox/Ids.ts"
import type { BridgeResult } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { undeliverableBridgeCodes } from "../../runtime/domain/slack/BridgeProtocol.ts"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import { pauseAfter } from "../../runtime/ports/Backoff.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import { BridgeRefused } from "../../runtime/ports/Bridge.ts"

/** Milliseconds between the starts of two calls. Slack takes about one edit a second in a channel. */
export const intervalMillis = 1_000
/** Longest pause after calls that failed. */
const maxPauseMillis = 15_000
/** Takes the place of a text that turned out to be none, where nobody knows more. */
export const nothingSaid = "_The agent ended without saying anything here._"

export interface LivePoster {
  /** There may be something new to show; `text` is asked for when it is this message's turn. Never waits. */
  readonly changed: () => void
  /**
   * Shows the text as it is now and waits, however long, until the bridge has it. No parts: nothing is there. `instead`
   * takes the place of a message that was begun and has no text.
   */
  readonly flush: (instead: string) => Effect.Effect<NonNullable<BridgeResult["parts"]>, BridgeRefused>
}

export const makeLivePoster = Effect.fnUntraced(function*(options: {
  readonly bridge: Bridge["Service"]
  readonly channel: ChannelId
  /** Where it goes; may have to open a thread first. None: it cannot be shown, and nothing is tried again. */
  readonly thread: Effect.Effect<MessageTs | undefined>
  readonly live: RequestId
  /** Root of the calls' idempotency keys. */
  readonly key: string
  /** The whole text, redacted; empty while there is nothing to show. */
  readonly text: () => string
}): Effect.fn.Return<LivePoster, never, Scope.Scope> {
  const dirty = Latch.makeUnsafe(false)
  let shown = ""
  /** Something may stand in the thread, though the call that put it there was not answered. */
  let begun = false
  let seq = 0
  let refusedForGood = false

  const set = Effect.fnUntraced(function*(markdown: string, patience: "durable" | "besteffort") {
    const threadTs = yield* options.thread
    if (threadTs === undefined) {
      refusedForGood = true
      return []
    }
    // Rises over restarts as well, and stays an integer for the next quarter of a million years.
    seq = Math.max(seq + 1, yield* Clock.currentTimeMillis)
    begun = true
    const step = patience === "durable" ? `end/${sha256Hex(markdown).slice(0, 16)}` : seq
    const result = yield* options.bridge.call({
      key: `${options.key}/live/${step}`,
      patience,
      action: {
        action: "live.set",
        channel: options.channel,
        threadTs,
        live: options.live,
        seq,
        markdown,
        ...(patience === "durable" ? {} : { draft: true })
      }
    })
    shown = markdown
    return result.parts ?? []
  })

  /** Waits for a change, shows it, and waits its second out. The failures in a row until then; none: give up. */
  const round = Effect.fnUntraced(function*(failures: number) {
    yield* dirty.await
    dirty.closeUnsafe()
    const started = yield* Clock.currentTimeMillis
    const markdown = options.text()
    if (markdown === "" || markdown === shown) return failures
    const outcome = yield* set(markdown, "besteffort").pipe(
      Effect.as("set" as const),
      Effect.catchTag("BridgeRefused", (error) => {
        if (undeliverableBridgeCodes.has(error.code)) refusedForGood = true
        return Effect.as(Effect.logDebug("a live message was not set", error.message), "failed" as const)
      })
    )
    const next = outcome === "failed" ? failures + 1 : 0
    if (outcome === "failed") dirty.openUnsafe()
    const pause = pauseAfter({ firstMillis: intervalMillis, longestMillis: maxPauseMillis }, next + 1)
    yield* Effect.sleep(Math.max(0, pause - ((yield* Clock.currentTimeMillis) - started)))
    return refusedForGood ? undefined : next
  })

  yield* Effect.gen(function*() {
    for (let failures: number | undefined = 0; failures !== undefined;) failures = yield* round(failures)
  }).pipe(Effect.forkScoped)

  return {
    changed: () => dirty.openUnsafe(),
    // Does not wait for a call under way: its number is higher, and the bridge shows the newest.
    flush: (instead) =>
      Effect.suspend(() => {
        const markdown = options.text()
        dirty.closeUnsafe()
        if (markdown !== "") return set(markdown, "durable")
        // What stands there, such as a status line, is no longer true, and a message cannot be set to nothing.
        return begun ? set(instead, "durable") : Effect.succeed([])
      })
  }
})
