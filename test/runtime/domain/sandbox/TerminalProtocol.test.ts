import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import {
  encodeFrame,
  type Frame,
  FrameReader,
  FromOperator,
  FromRuntime,
  maxFrameBytes,
  messageFrame,
  readFromOperator,
  readFromRuntime
} from "../../../../runtime/domain/sandbox/TerminalProtocol.ts"

const Frames = Schema.Array(Schema.Struct({
  kind: Schema.Literals(["bytes", "message"]),
  payload: Schema.Uint8Array
}))

/** The same bytes in pieces of this size. */
const inPieces = (bytes: Uint8Array, size: number): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size))

const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat(parts)

const only = (bytes: Uint8Array): Frame => {
  const [frame] = new FrameReader().push(bytes) ?? []
  return frame ?? { kind: "bytes", payload: new Uint8Array(0) }
}

/** The beginning of a frame. */
const head = (kind: number, length: number) => {
  const bytes = new Uint8Array(5)
  bytes[0] = kind
  new DataView(bytes.buffer).setUint32(1, length)
  return bytes
}

describe("frames", () => {
  it.prop("come out as they went in, in whatever pieces", [
    Frames,
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 64 }))
  ], ([frames, size]) => {
    const reader = new FrameReader()
    const found: Array<Frame> = []
    for (const piece of inPieces(joined(frames.map(encodeFrame)), size)) found.push(...reader.push(piece) ?? [])
    assert.deepStrictEqual(
      found.map(({ kind, payload }) => [kind, [...payload]]),
      frames.map(({ kind, payload }) => [kind, [...payload]])
    )
  })

  it("are refused when they are of no kind, or longer than any of ours", () => {
    assert.isUndefined(new FrameReader().push(head(2, 0)))
    assert.isUndefined(new FrameReader().push(head(0, maxFrameBytes + 1)))
    assert.deepStrictEqual(new FrameReader().push(head(0, maxFrameBytes)), [])
  })

  it.prop("carry what the operator says", [FromOperator], ([message]) => {
    assert.deepStrictEqual(readFromOperator(only(messageFrame(message))), Option.some(message))
  })

  it.prop("carry what the runtime says", [FromRuntime], ([message]) => {
    // As text, because JSON has no negative zero.
    assert.strictEqual(
      JSON.stringify(Option.getOrUndefined(readFromRuntime(only(messageFrame(message))))),
      JSON.stringify(message)
    )
  })

  it("are no message where a terminal is named by what could be read as something else", () => {
    const open = { says: "open", rows: 1, columns: 1, command: [], terminal: "xterm" } as const
    const read = (more: object) =>
      readFromOperator({ kind: "message", payload: new TextEncoder().encode(JSON.stringify({ ...open, ...more })) })
    assert.isTrue(Option.isSome(read({})))
    for (
      const wrong of [{ terminal: "x; y" }, { terminal: "" }, { rows: 0 }, { columns: 10_001 }, { rows: 1.5 }, {
        command: ["a\0b"]
      }, { resume: "../x" }]
    ) {
      assert.isTrue(Option.isNone(read(wrong)), JSON.stringify(wrong))
    }
  })
})
