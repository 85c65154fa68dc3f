/** Times that the workspace does not see, from who wrote them down: the bridge's log. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { TurnKey } from "../../runtime/domain/sandbox/Ids.ts"

const LogLine = Schema.fromJsonString(Schema.Struct({
  message: Schema.Unknown,
  timestamp: Schema.String,
  annotations: Schema.Struct({ turn: Schema.String })
}))
const decodeLine = Schema.decodeUnknownOption(LogLine)

/** When the bridge said that the queue had the message; the line is written right after the synced commit. */
export const storedAt = Effect.fnUntraced(function*(log: string, turn: TurnKey) {
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.orElseSucceed(files.readFileString(log), () => "")
  for (const line of text.split("\n")) {
    if (!line.includes("message stored") || !line.includes(turn)) continue
    const decoded = decodeLine(line)
    if (Option.isSome(decoded) && decoded.value.annotations.turn === turn) {
      const at = Date.parse(decoded.value.timestamp)
      if (Number.isFinite(at)) return Option.some(at)
    }
  }
  return Option.none<number>()
})
