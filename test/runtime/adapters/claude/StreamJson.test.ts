import { assert, describe, it } from "@effect/vitest"
import { Option, Schema } from "effect"
import {
  decodeLine,
  encodeUserMessage,
  LineSplitter,
  maxLineBytes
} from "../../../../runtime/adapters/claude/StreamJson.ts"

/** Feeds the text in pieces of the given sizes, over and over. */
const split = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
  const splitter = new LineSplitter()
  const bytes = Buffer.from(text)
  const lines: Array<string> = []
  for (let from = 0, turn = 0; from < bytes.length; turn++) {
    const size = Math.max(1, sizes[turn % Math.max(1, sizes.length)] ?? 1)
    lines.push(...splitter.push(bytes.subarray(from, from + size)))
    from += size
  }
  return lines
}

describe("LineSplitter", () => {
  const Sizes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })))

  it.prop("gives the same lines however the bytes are cut", [Schema.Array(Schema.String), Sizes], ([texts, sizes]) => {
    const lines = texts.map((text) => text.replaceAll("\n", "").toWellFormed())
    assert.deepStrictEqual(split(lines.map((line) => `${line}\n`).join(""), sizes), lines)
  })

  it("keeps an unfinished line to itself", () => {
    const splitter = new LineSplitter()
    assert.deepStrictEqual(splitter.push(Buffer.from("a\nb")), ["a"])
    assert.deepStrictEqual(splitter.push(Buffer.from("c\n")), ["bc"])
  })

  it("copies what it keeps, because the reader's buffer is used again", () => {
    const splitter = new LineSplitter()
    const buffer = Buffer.from("ab")
    splitter.push(buffer)
    buffer.write("xx")
    assert.deepStrictEqual(splitter.push(Buffer.from("\n")), ["ab"])
  })

  it("drops a line over the cap and goes on with the next", () => {
    const splitter = new LineSplitter()
    const part = Buffer.alloc(1024 * 1024, "x")
    for (let sent = 0; sent <= maxLineBytes; sent += part.length) assert.deepStrictEqual(splitter.push(part), [])
    assert.deepStrictEqual(splitter.push(Buffer.from("end\nnext\n")), ["next"])
  })

  it("takes a line of exactly the cap", () => {
    const splitter = new LineSplitter()
    const [line] = splitter.push(Buffer.concat([Buffer.alloc(maxLineBytes, "x"), Buffer.from("\n")]))
    assert.strictEqual(line?.length, maxLineBytes)
  })
})

describe("decodeLine", () => {
  it("ignores what it does not know", () => {
    for (const line of ["", "garbage", "{", "null", "[]", "{\"type\":\"new_kind\"}", "{\"type\":\"result\"}"]) {
      assert.deepStrictEqual(decodeLine(line), Option.none(), line)
    }
  })

  it("reads an assistant line with blocks of unknown kinds", () => {
    const line = decodeLine(JSON.stringify({
      type: "assistant",
      message: { id: "m", content: [{ type: "thinking", thinking: "…" }, { type: "text", text: "hi" }] }
    }))
    assert.isTrue(Option.isSome(line))
  })

  it.prop("never throws", [Schema.String], ([text]) => {
    decodeLine(text)
  })
})

describe("encodeUserMessage", () => {
  it.prop("is one line whatever the text is", [Schema.String], ([text]) => {
    const line = encodeUserMessage("0b0e6a40-0000-4000-8000-000000000000", text)
    assert.strictEqual(line.indexOf("\n"), line.length - 1)
    assert.strictEqual(JSON.parse(line).message.content, text)
  })
})
