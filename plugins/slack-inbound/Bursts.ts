/**
 * `slackBusyPolicy: debounce`: what one person writes in a thread, one message shortly after another, is one turn. The
 * queue keeps them in order; the turn of the first waits, before it begins, for as long as they follow one another.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { TurnRequest, type TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { OriginHandler } from "../../runtime/ports/Plugin.ts"
import type { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Turns } from "../../runtime/ports/Turns.ts"

/**
 * Two messages follow one another when at most so long lies between them, and a turn waits so long for the next one. Longer
 * than people pause between two lines, shorter than they would wait for a sign of life.
 */
export const quietMillis = 3_000
/** A turn begins after this, however much is still being written. */
export const longestMillis = 20_000
/** Further messages of a turn. */
export const maxJoined = 19
/** UTF-8 bytes of all of a turn's texts: what is kept for a replay must pass through the queue (256 KiB). */
export const maxBytes = 200 * 1024

const decodeRequest = Schema.decodeUnknownOption(Schema.fromJsonString(TurnRequest))

type Said = Pick<TurnRequest, "acceptedAt" | "origin" | "text">

const bytesOf = (said: ReadonlyArray<Said>): number => said.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)

/** Whether `next` goes on with what `last` began. */
export const follows = (last: Said, next: Said): boolean =>
  last.origin.kind === "slack" && next.origin.kind === "slack" && last.origin.user === next.origin.user
  && Math.abs(next.acceptedAt - last.acceptedAt) <= quietMillis

export const joinBurst = (
  { queue, sandbox, turns }: {
    readonly sandbox: SandboxId
    readonly queue: TurnQueue["Service"]
    readonly turns: Turns["Service"]
  }
): NonNullable<OriginHandler["joining"]> =>
  Effect.fn("Bursts.joining")(function*(row: TurnRow, joined: ReadonlyArray<TurnRow>) {
    const { request } = row
    // What runs again runs as it was.
    if (request.origin.kind !== "slack" || /~\d+$/.test(row.key)) return
    const said: Array<Said> = [request, ...joined.map((other) => other.request)]
    const until = (yield* Clock.currentTimeMillis) + longestMillis
    /** Its row is written down and its text was changed before it left the queue: it stays, with the newer text. */
    let kept: string | undefined
    for (;;) {
      const last = said.at(-1) ?? request
      const now = yield* Clock.currentTimeMillis
      // A clock of the bridge's that is ahead makes nobody wait longer.
      const quietAt = Math.min(until, Math.min(last.acceptedAt, now) + quietMillis)
      if (quietAt > now) yield* Effect.sleep(quietAt - now)
      const next = Option.getOrUndefined(yield* queue.behind(sandbox, request.group))
      const asked = next === undefined ? undefined : Option.getOrUndefined(decodeRequest(next.body))
      if (next === undefined || asked === undefined) return
      const fits = said.length <= maxJoined && bytesOf([...said, asked]) <= maxBytes && asked.also === undefined
      if (next.key !== kept && !(fits && follows(last, asked))) return
      const how = yield* turns.join(row.key, asked, queue.claim(sandbox, next.key, next.body))
      if (how === "late") return
      kept = how === "changed" ? next.key : undefined
      if (how !== "joined") continue
      said.push(asked)
      if ((yield* Clock.currentTimeMillis) >= until) return
    }
  }, (effect, row) =>
    effect.pipe(
      // What has joined has joined, and the rest waits for its turn.
      Effect.catch((error) => Effect.logWarning("what else its author writes is not waited for", error.message)),
      Effect.annotateLogs({ turn: row.key })
    ))
