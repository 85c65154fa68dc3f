/** The posts that show a turn's outcome in its thread: the same ids and texts whenever they are made, so once each. */
import * as Effect from "effect/Effect"
import { sha256Hex } from "../../runtime/domain/text/Digest.ts"
import type { ShownPart, SlackOrigin as Origin, TurnRow } from "../../runtime/domain/turn/Turn.ts"
import type { Bridge, BridgeRefused } from "../../runtime/ports/Bridge.ts"

/** Characters of one `post`: three bytes each at most, so that a whole request stays below the bridge's 1 MiB. */
export const maxPostCharacters = 200_000

/** The final mark of a message whose outcome is no answer, or could not be shown. */
export const failedEmoji = "x"

/** Cuts at line ends where it can, never inside a surrogate pair. Their sum is the text. */
export const chunksOf = (text: string, size: number): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  let rest = text
  while (rest.length > size) {
    const line = rest.lastIndexOf("\n", size - 1) + 1
    const pair = rest.charCodeAt(size - 1) >= 0xD800 && rest.charCodeAt(size - 1) <= 0xDBFF
    const at = line > size / 2 ? line : pair ? size - 1 : size
    chunks.push(rest.slice(0, at))
    rest = rest.slice(at)
  }
  return [...chunks, rest]
}

export const originOf = (row: TurnRow): Origin => {
  const { origin } = row.request
  // The kernel picks the handler by this very field.
  if (origin.kind !== "slack") throw new TypeError(`turn ${row.key} does not come from Slack`)
  return origin
}

/** One post of a turn. What stands in the thread is added to `shown`. */
export const postPart = Effect.fnUntraced(function*(
  bridge: Bridge["Service"],
  row: TurnRow,
  part: { readonly step: string; readonly threaded: boolean; readonly markdown: string },
  shown: Array<ShownPart>
) {
  const { markdown, step, threaded } = part
  const { channel, threadTs } = originOf(row)
  const result = yield* bridge.call({
    key: `${row.key}/${step}`,
    action: { action: "post", channel, ...(threaded ? { threadTs } : {}), markdown }
  })
  const sha256 = sha256Hex(markdown)
  for (const { ts } of result.parts ?? []) shown.push({ ts, sha256 })
})

/** The whole outcome, in as many posts as it takes. `shown` also holds what was posted before a refusal. */
export const postOutcome = (
  bridge: Bridge["Service"],
  row: TurnRow,
  text: string,
  shown: Array<ShownPart>
): Effect.Effect<void, BridgeRefused> =>
  Effect.forEach(
    chunksOf(text, maxPostCharacters).entries(),
    ([n, markdown]) =>
      postPart(
        bridge,
        row,
        { step: `${row.result === "answered" ? "answer" : "notice"}/${n}`, threaded: true, markdown },
        shown
      ),
    { discard: true }
  )
