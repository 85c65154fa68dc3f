/**
 * How a turn's words reach the agent as data and nothing else: framed, so that they are no command, and neutralised,
 * so that they name no file. Pure.
 */
import { type SandboxId, SessionId, type TurnKey } from "../../domain/sandbox/Ids.ts"
import { sha256Hex } from "../../domain/text/Digest.ts"
import { framePrefix, neutralise, utcMinute } from "../../domain/text/PromptText.ts"
import type { TurnFrame } from "../../domain/turn/TurnFrame.ts"

/** Of ours, whoever wrote it: whatever is in it, it is one line and the only one that it looks like. */
const line = (text: string): string => `${framePrefix} ${neutralise(text).replace(/\s*\n\s*/g, " ")}`

/** What plugins may add to a prompt: lines, and characters of one. */
export const maxAddedLines = 20
export const maxAddedCharacters = 1_000

/** Lines of one plugin, within what it may add. */
export const addedLines = (lines: ReadonlyArray<string>): ReadonlyArray<string> =>
  lines.slice(0, maxAddedLines).map((text) => Array.from(text).slice(0, maxAddedCharacters).join(""))

/**
 * One user message: our lines first, so that a leading `/` of the text is no command. How it is answered travels with each
 * message: what is appended to the system prompt is frozen at a session's start.
 */
export const messagePrompt = (
  frame: TurnFrame,
  added: ReadonlyArray<string>,
  text: string,
  also: ReadonlyArray<{ readonly acceptedAt: number; readonly lines: ReadonlyArray<string>; readonly text: string }> =
    []
): string =>
  [
    ...[frame.head, frame.answer, ...added, ...frame.notes].map(line),
    "",
    neutralise(text),
    ...also.flatMap((more) => [
      "",
      ...[`Right after that they wrote, ${utcMinute(more.acceptedAt)}; it belongs to the same request:`, ...more.lines]
        .map(
          line
        ),
      "",
      neutralise(more.text)
    ])
  ].join("\n")

/** What a session that a person works in is told before anything is typed; none where there is nothing to tell. */
export const sessionFrame = (lines: ReadonlyArray<string>): ReadonlyArray<string> => lines.map(line)

/**
 * Goes on with an interrupted turn, accepted at `acceptedAt` (Unix milliseconds). Its text is in the conversation already
 * and is never sent again.
 */
export const continuePrompt = (frame: TurnFrame, acceptedAt: number): string =>
  [
    `You were interrupted while you worked on ${frame.work}, ${utcMinute(acceptedAt)}. Continue.`,
    "What ran at that moment may or may not have taken effect: look before you repeat it.",
    frame.answer
  ].map(line).join("\n")

/** What the thread is told when a turn had to begin a new conversation. */
export const sessionLostNotice =
  "The earlier conversation of this thread could not be found, so this is a fresh session: it does not remember what was said before."

/** The first 128 bits of a SHA-256 as a UUID; version 5 and variant bits set, since readers check both. */
const uuidOf = (text: string): string => {
  const hex = sha256Hex(text)
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 0x3) | 0x8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${
    hex.slice(20, 32)
  }`
}

/**
 * The CLI's own idempotency key of a message. Another one for every attempt: after a crash the CLI swallows a uuid that
 * it has seen.
 */
export const messageUuid = (key: TurnKey, attempt: number): string => uuidOf(`km-message\n${key}\n${attempt}`)

/** The session that an attempt begins. Known before the agent starts, and again after a crash, without being stored. */
export const freshSession = (sandbox: SandboxId, key: TurnKey, attempt: number): SessionId =>
  SessionId.make(uuidOf(`km-session\n${sandbox}\n${key}\n${attempt}`))
