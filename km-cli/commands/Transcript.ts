/** `km transcript`: a session's transcript as JSON Lines on standard output, from what its runtime has stored. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { gunzipSync } from "node:zlib"
import { SessionId } from "../../runtime/domain/sandbox/Ids.ts"
import { transcriptPrefix } from "../../runtime/domain/slack/FileLinks.ts"
import { Objects } from "../../runtime/ports/Objects.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { resolve } from "../Reference.ts"

const decodeSession = Schema.decodeUnknownOption(SessionId)
/** Bytes of one transcript, unpacked. */
const maxBytes = 256 * 1024 * 1024

export const transcript = Effect.fn("km.transcript")(function*(input: {
  readonly reference: string
  readonly session: string
}) {
  const { backend } = yield* opened
  yield* backend.install
  const session = Option.getOrUndefined(decodeSession(input.session))
  if (session === undefined) {
    return yield* kmError(
      "KM-CLI-001",
      "a transcript is named by the id of its session",
      "",
      `km slack threads ${input.reference}`
    )
  }
  yield* Effect.gen(function*() {
    const objects = yield* Objects
    const row = yield* resolve(input.reference)
    const stored = (yield* objects.list(row.id)).filter((name) => name.startsWith(transcriptPrefix(session)))
    // While one replaces another both are there; the names do not say which is newer, the longer one does.
    let longest = new Uint8Array(0)
    for (const name of stored) {
      const packed = yield* Stream.runCollect(objects.get(row.id, name))
      const bytes = yield* Effect.try({
        try: () => gunzipSync(Buffer.concat(packed), { maxOutputLength: maxBytes }),
        catch: () => kmError("KM-CLI-047", "the stored transcript cannot be read", name)
      })
      if (bytes.length > longest.length) longest = bytes
    }
    if (longest.length === 0) {
      return yield* kmError(
        "KM-CLI-047",
        `sandbox ${row.id} has no transcript of session ${session}`,
        "transcripts are stored where the profile has notifySlackTranscriptEnabled: true, and go with their sandbox"
      )
    }
    yield* Console.log(Buffer.from(longest).toString("utf8").replace(/\n$/, ""))
  }).pipe(Effect.provide(backend.ports("short")))
})
