/**
 * What `km shell` and a runtime say to each other over a socket of the sandbox's own directory: the bytes of a terminal,
 * and messages beside them. Pure.
 *
 * A frame is a byte for its kind, four for its length (big-endian), and that many more.
 */
import * as Schema from "effect/Schema"
import { SessionId } from "./Ids.ts"

/** Below the sandbox's `run`. */
export const terminalSocket = "terminal.sock"

/** Bytes of one frame; whoever announces more is not one of ours. */
export const maxFrameBytes = 256 * 1024

const headBytes = 5
const kinds = ["bytes", "message"] as const

export interface Frame {
  readonly kind: typeof kinds[number]
  readonly payload: Uint8Array
}

export const encodeFrame = ({ kind, payload }: Frame): Uint8Array => {
  const bytes = new Uint8Array(headBytes + payload.length)
  bytes[0] = kinds.indexOf(kind)
  new DataView(bytes.buffer).setUint32(1, payload.length)
  bytes.set(payload, headBytes)
  return bytes
}

/** Takes what comes in whatever pieces. */
export class FrameReader {
  #held: Uint8Array = new Uint8Array(0)

  /** The frames that are whole by now; `undefined` once what came is no frame. */
  push(chunk: Uint8Array): ReadonlyArray<Frame> | undefined {
    const all = new Uint8Array(this.#held.length + chunk.length)
    all.set(this.#held)
    all.set(chunk, this.#held.length)
    const frames: Array<Frame> = []
    let at = 0
    while (all.length - at >= headBytes) {
      const kind = kinds[all[at] ?? kinds.length]
      const length = new DataView(all.buffer).getUint32(at + 1)
      if (kind === undefined || length > maxFrameBytes) return undefined
      if (all.length - at - headBytes < length) break
      frames.push({ kind, payload: all.slice(at + headBytes, at + headBytes + length) })
      at += headBytes + length
    }
    this.#held = all.slice(at)
    return frames
  }
}

const Cells = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 }))
const size = { rows: Cells, columns: Cells }

/** How large a terminal is, in characters. */
export const TerminalSize = Schema.Struct(size)
export type TerminalSize = typeof TerminalSize.Type

/** Name of a terminal as `TERM` has it. */
const TerminalName = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$/))

const isWord = Schema.String.check(Schema.isPattern(/^[^\0]*$/))

export const FromOperator = Schema.Union([
  Schema.Struct({
    says: Schema.Literal("open"),
    ...size,
    terminal: TerminalName,
    /** Continues this conversation; without it a new one begins. */
    resume: Schema.optionalKey(SessionId),
    /** In place of the agent; empty starts the agent. */
    command: Schema.Array(isWord)
  }),
  Schema.Struct({ says: Schema.Literal("size"), ...size })
])
export type FromOperator = typeof FromOperator.Type

export const FromRuntime = Schema.Union([
  Schema.Struct({
    says: Schema.Literal("began"),
    session: SessionId,
    /** What the session's agent is told of the sandbox, for the person too. A runtime of an earlier version tells nothing. */
    told: Schema.optionalKey(Schema.Array(Schema.String))
  }),
  /** `runtime`: it stops, and the session with it. */
  Schema.Struct({ says: Schema.Literal("ended"), by: Schema.Literals(["itself", "runtime"]), exit: Schema.Int }),
  Schema.Struct({
    says: Schema.Literal("refused"),
    code: Schema.String,
    reason: Schema.String,
    remedy: Schema.String
  })
])
export type FromRuntime = typeof FromRuntime.Type

/** A message as a frame. */
export const messageFrame = (message: FromOperator | FromRuntime): Uint8Array =>
  encodeFrame({ kind: "message", payload: new TextEncoder().encode(JSON.stringify(message)) })

const textOf = ({ payload }: Frame): string => new TextDecoder().decode(payload)
const decodeOperator = Schema.decodeUnknownOption(Schema.fromJsonString(FromOperator))
const decodeRuntime = Schema.decodeUnknownOption(Schema.fromJsonString(FromRuntime))

export const readFromOperator = (frame: Frame) => decodeOperator(textOf(frame))
export const readFromRuntime = (frame: Frame) => decodeRuntime(textOf(frame))
