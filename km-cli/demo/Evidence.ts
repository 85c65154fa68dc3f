/** Times that the workspace does not see, from those who wrote them down: the bridge's log and the sandbox's ledger. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import type { TurnKey } from "../../runtime/domain/Ids.ts"
import type { TurnRow } from "../../runtime/domain/Turn.ts"

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

/** Clock ticks a second in /proc; 100 on every Linux that Node runs on (`getconf CLK_TCK`). */
const ticksPerSecond = 100

/**
 * When the agent's process began, to 10 ms: its start time in ticks since boot against the machine's uptime. Where there
 * is no /proc, when the runtime had written down that it starts it.
 */
export const agentStartedAt = (row: TurnRow): Option.Option<number> => {
  const ticks = Number(row.process?.startTime ?? "")
  if (row.process !== undefined && row.process.startTime !== "" && Number.isFinite(ticks)) {
    try {
      const uptimeMillis = Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1_000
      return Option.some(Math.round(Date.now() - uptimeMillis + ticks * (1_000 / ticksPerSecond)))
    } catch {
      // No /proc here.
    }
  }
  return Option.fromNullishOr(row.startedAt)
}
