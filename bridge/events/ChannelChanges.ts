/** What becomes of a sandbox's channel in Slack by others: another id, or its end. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { archivedAnnouncement } from "../../runtime/domain/sandbox/Notice.ts"
import { isEnding } from "../../runtime/domain/sandbox/Sandbox.ts"
import { writeNotice } from "../../runtime/kernel/sandboxes/Notices.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import type { StoreError } from "../../runtime/ports/StoreError.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { EventRefused } from "../BridgeErrors.ts"
import type { Incoming } from "./Incoming.ts"
import { Progress } from "./Progress.ts"

type Of<Tag extends Incoming["_tag"]> = Extract<Incoming, { readonly _tag: Tag }>

const notStored = (error: StoreError) =>
  new EventRefused({ reason: "not_stored", detail: `${error.port}.${error.operation}: ${error.reason}` })

export class ChannelChanges extends Context.Service<ChannelChanges, {
  /** Everything of ours that is kept under the old id. Slack repeats the event until all of it is done. */
  readonly moved: (event: Of<"ChannelMoved">) => Effect.Effect<string, EventRefused>
  /** The operator is told, once for each time. */
  readonly archived: (event: Of<"Archived">) => Effect.Effect<string, EventRefused>
}>()("km/bridge/events/ChannelChanges") {
  static readonly layer = Layer.effect(
    ChannelChanges,
    Effect.gen(function*() {
      const sandboxes = yield* Sandboxes
      const threads = yield* Threads
      const facts = yield* Facts
      const progress = yield* Progress
      return ChannelChanges.of({
        moved: Effect.fn("ChannelChanges.moved")(function*({ from, to }) {
          if (from === to) return "the same id"
          const rows = yield* sandboxes.byChannel(from)
          // The rows last: while one has the old id, a crash before leaves all of this to be done again.
          yield* threads.move(from, to)
          for (const row of rows) {
            if (row.alias !== undefined && Option.contains(yield* sandboxes.channelOfAlias(row.alias), from)) {
              yield* sandboxes.rememberChannel(row.alias, to)
            }
            const formerChannels = [...(row.formerChannels ?? []).filter((id) => id !== from && id !== to), from]
            yield* sandboxes.update(row.id, { channel: to, formerChannels }, { generation: row.generation })
            yield* Effect.logWarning("Slack has given a channel another id").pipe(
              Effect.annotateLogs({ sandbox: row.id, from, to })
            )
          }
          // What was written meanwhile came under an id that no sandbox had.
          if (rows.length > 0) progress.missed()
          return rows.length === 0 ? "no sandbox" : "moved"
        }, Effect.mapError(notStored)),
        archived: Effect.fn("ChannelChanges.archived")(function*({ by, channel, eventId }) {
          const rows = (yield* sandboxes.byChannel(channel)).filter((row) => !isEnding(row))
          for (const row of rows) {
            yield* Effect.provideService(writeNotice(row, archivedAnnouncement(row, channel, eventId)), Facts, facts)
            yield* Effect.logWarning("a sandbox's channel was archived by hand").pipe(
              Effect.annotateLogs({ sandbox: row.id, channel, by: by ?? "not said" })
            )
          }
          return rows.length === 0 ? "no sandbox" : "the operator is told"
        }, Effect.mapError(notStored))
      })
    })
  )
}
