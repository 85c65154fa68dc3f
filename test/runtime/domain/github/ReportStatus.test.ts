import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { advertisementFilter } from "../../../../runtime/domain/github/Advertisement.ts"
import { flushPacket, joined, maxPacketBytes, textPacket } from "../../../../runtime/domain/github/PktLine.ts"
import { refusedPush } from "../../../../runtime/domain/github/ReportStatus.ts"
import { inPieces, randomFrom, zeroId } from "../../../support/PushInputs.ts"

const a = "a".repeat(40)
const wishes = (...names: ReadonlyArray<string>) => new Map(names.map((name) => [name, ""]))
const commands = [
  { old: a, new: zeroId, ref: "refs/heads/main" },
  { old: a, new: a, ref: "refs/heads/x" }
]

/** The payloads of a stream of packets; null for a flush. */
const payloads = (body: Uint8Array): ReadonlyArray<string | null> => {
  const found: Array<string | null> = []
  for (let at = 0; at < body.length;) {
    const length = Number.parseInt(Buffer.from(body.subarray(at, at + 4)).toString(), 16)
    assert.isAtMost(length, maxPacketBytes)
    found.push(length === 0 ? null : Buffer.from(body.subarray(at + 4, at + length)).toString())
    at += Math.max(length, 4)
  }
  return found
}

describe("the answer to a refused push", () => {
  const report = ["unpack ok\n", "ng refs/heads/main km: no\n", "ng refs/heads/x km: nor this\n", null]

  it("is a bare report where no band was asked for", () => {
    for (const wish of ["report-status", "report-status-v2"]) {
      const answer = refusedPush(commands, ["no", "nor this"], wishes(wish), ["see"])
      assert.strictEqual(answer.status, 200)
      assert.strictEqual(answer.contentType, "application/x-git-receive-pack-result")
      assert.deepStrictEqual(payloads(answer.body), report)
    }
  })

  it("is the same report on band 1 behind the words on band 2", () => {
    const { body } = refusedPush(commands, ["no", "nor this"], wishes("side-band-64k", "report-status"), [
      "see\u001b[1m"
    ])
    const [words, inner, end] = payloads(body)
    assert.deepStrictEqual([words, end], ["\u0002see [1m\n", null])
    assert.deepStrictEqual(payloads(Buffer.from((inner ?? "").slice(1))), report)
  })

  it("is words alone without a report, and an error of HTTP where nobody would hear either", () => {
    assert.deepStrictEqual(payloads(refusedPush(commands, ["no", "no"], wishes("side-band-64k"), ["see"]).body), [
      "\u0002see\n",
      null
    ])
    const bare = refusedPush(commands, ["no", "no"], wishes(), [])
    assert.deepStrictEqual([bare.status, Buffer.from(bare.body).toString()], [403, "no\nno\n"])
  })

  it("keeps every reason on its line, and every packet within its size", () => {
    const many = Array.from({ length: 2_000 }, (_, index) => ({ old: a, new: a, ref: `refs/heads/b${index}` }))
    const { body } = refusedPush(
      many,
      many.map(() => `x\n${"y".repeat(5_000)}`),
      wishes("side-band-64k", "report-status"),
      []
    )
    const inner = payloads(body).filter((part): part is string => part !== null)
    const lines = payloads(Buffer.from(inner.map((part) => part.slice(1)).join("")))
    assert.strictEqual(lines.length, many.length + 2)
    assert.isTrue(lines.slice(1, -1).every((line) => /^ng refs\/heads\/b\d+ km: x y{890,900}\n$/u.test(line ?? "")))
  })
})

const advertised = (capabilities: string, version = false) =>
  joined([
    textPacket("# service=git-receive-pack\n"),
    flushPacket,
    ...(version ? [textPacket("version 1")] : []),
    textPacket(`${a} refs/heads/main\0${capabilities}\n`),
    textPacket(`${a} refs/heads/x\n`),
    flushPacket
  ])
const filtered = (body: Uint8Array, pieces: ReadonlyArray<Uint8Array> = [body]): string => {
  const filter = advertisementFilter()
  let out: string | undefined
  for (const piece of pieces) {
    if (out !== undefined) {
      out += Buffer.from(piece).toString("latin1")
      continue
    }
    const reading = filter.feed(piece)
    if (reading._tag === "Malformed") return reading.why
    if (reading._tag === "Filtered") out = Buffer.from(reading.bytes).toString("latin1")
  }
  return out ?? "more"
}
const text = (body: Uint8Array) => Buffer.from(body).toString("latin1")
const empty = (words: string) =>
  joined([
    textPacket("# service=git-receive-pack\n"),
    flushPacket,
    textPacket(`${zeroId} capabilities^{}\0${words}`),
    flushPacket
  ])

describe("the list of refs with which a push begins", () => {
  const all = "report-status delete-refs push-cert=1700-abc atomic future=1 object-format=sha1 agent=git/github-1"
  const kept = "report-status delete-refs atomic object-format=sha1 agent=git/github-1"

  it("loses the certificate's nonce and what is not known here, and nothing else", () => {
    assert.strictEqual(filtered(advertised(all)), text(advertised(kept)))
    assert.strictEqual(filtered(advertised(all, true)), text(advertised(kept, true)))
    assert.strictEqual(filtered(empty(all)), text(empty(kept)))
  })

  it.prop("is the same however it was cut", [Schema.Int], ([seed]) => {
    assert.strictEqual(filtered(advertised(all), inPieces(randomFrom(seed), advertised(all))), text(advertised(kept)))
  })

  it("passes nothing on that is something else", () => {
    const others = [
      textPacket("# service=git-upload-pack\n"),
      new TextEncoder().encode("<html>"),
      joined([textPacket("# service=git-receive-pack\n"), flushPacket, textPacket(`${a} refs/heads/main\n`)]),
      joined([textPacket("# service=git-receive-pack\n"), flushPacket, flushPacket, flushPacket, flushPacket]),
      joined([textPacket("# service=git-receive-pack\n"), flushPacket, textPacket(`x\0${all}`)])
    ]
    for (const other of others) assert.match(filtered(other), /^(it|its|a packet) /u)
  })
})
