import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import type { PushCommand } from "../../../../runtime/domain/github/GitHubPolicy.ts"
import { flushPacket, joined, textPacket } from "../../../../runtime/domain/github/PktLine.ts"
import {
  maxCommands,
  maxPreludeBytes,
  pushReader,
  type PushReading
} from "../../../../runtime/domain/github/ReceivePack.ts"
import { gitReadsPush } from "../../../support/gitReadsPush.ts"
import { emptyPack, inPieces, pushBody, randomFrom, zeroId } from "../../../support/PushInputs.ts"

const a = "a".repeat(40)
const b = "b".repeat(40)
const caps = " report-status side-band-64k object-format=sha1 agent=git/2.39.5"
const first = (command: string, capabilities = caps) => textPacket(`${command}\0${capabilities}`)
const main = `${a} ${b} refs/heads/main`

const readAll = (body: Uint8Array, pieces: ReadonlyArray<Uint8Array> = [body]): PushReading => {
  const reader = pushReader()
  for (const piece of pieces) {
    const reading = reader.feed(piece)
    if (reading._tag !== "More") return reading
  }
  return reader.end()
}

const commandsOf = (...parts: ReadonlyArray<Uint8Array>): ReadonlyArray<PushCommand> => {
  const reading = readAll(joined(parts))
  assert.strictEqual(reading._tag, "Prelude", reading._tag === "Malformed" ? reading.why : "")
  return reading._tag === "Prelude" ? reading.prelude.commands : []
}

const refusalOf = (...parts: ReadonlyArray<Uint8Array>): string => {
  const reading = readAll(joined(parts))
  assert.strictEqual(reading._tag, "Malformed")
  return reading._tag === "Malformed" ? reading.rule : ""
}

describe("what clients send", () => {
  it("is read: create, update, delete, tag, several, with line feeds and without", () => {
    assert.deepStrictEqual(
      commandsOf(
        first(`${zeroId} ${a} refs/heads/new`),
        textPacket(`${main}\n`),
        textPacket(`${a} ${zeroId} refs/tags/v1`),
        flushPacket,
        emptyPack
      ),
      [
        { old: zeroId, new: a, ref: "refs/heads/new" },
        { old: a, new: b, ref: "refs/heads/main" },
        { old: a, new: zeroId, ref: "refs/tags/v1" }
      ]
    )
  })

  it("ends where the pack begins, however it was cut", () => {
    const prelude = joined([textPacket(`shallow ${a}\n`), first(main), flushPacket])
    const body = joined([prelude, emptyPack])
    for (let cut = 0; cut <= body.length; cut++) {
      const reading = readAll(body, [body.subarray(0, cut), body.subarray(cut)])
      assert.strictEqual(reading._tag, "Prelude")
      if (reading._tag !== "Prelude") continue
      assert.deepStrictEqual(reading.bytes, prelude)
      assert.strictEqual(reading.prelude.consumed, prelude.length)
      assert.deepStrictEqual(reading.prelude.shallow, [a])
      assert.isTrue(reading.prelude.pack)
      assert.deepStrictEqual(
        reading.rest,
        cut <= prelude.length && cut < body.length && cut === prelude.length
          ? new Uint8Array()
          : body.subarray(prelude.length, cut < prelude.length ? body.length : cut)
      )
    }
  })

  it("is a probe when it is a flush alone", () => {
    const reading = readAll(flushPacket)
    assert.strictEqual(reading._tag, "Prelude")
    if (reading._tag !== "Prelude") return
    assert.deepStrictEqual([reading.prelude.commands, reading.prelude.pack], [[], false])
  })

  it("may delete what is not there, with two zero ids and no pack", () => {
    assert.deepStrictEqual(commandsOf(first(`${zeroId} ${zeroId} refs/heads/x`), flushPacket), [
      { old: zeroId, new: zeroId, ref: "refs/heads/x" }
    ])
  })

  it("has options behind the commands where both sides know them", () => {
    const reading = readAll(
      joined([first(main, `${caps} push-options atomic`), flushPacket, textPacket("ci.skip"), flushPacket, emptyPack])
    )
    assert.strictEqual(reading._tag, "Prelude")
    if (reading._tag !== "Prelude") return
    assert.deepStrictEqual(reading.prelude.options, ["ci.skip"])
    assert.isTrue(reading.prelude.capabilities.has("atomic"))
    assert.deepStrictEqual(reading.rest, emptyPack)
  })

  it("may have SHA-256 ids, when it says so", () => {
    const [long, other] = ["c".repeat(64), "d".repeat(64)]
    const reading = readAll(joined([first(`${long} ${other} refs/heads/main`, " object-format=sha256"), flushPacket]))
    assert.strictEqual(reading._tag === "Prelude" && reading.prelude.objectFormat, "sha256")
    assert.strictEqual(refusalOf(first(`${long} ${other} refs/heads/main`), flushPacket), "push.malformed")
    assert.strictEqual(refusalOf(first(main, " object-format=sha256"), flushPacket), "push.malformed")
  })
})

describe("what is refused", () => {
  const cases: ReadonlyArray<readonly [name: string, rule: string, ...parts: ReadonlyArray<Uint8Array>]> = [
    ["a NUL on a later command", "push.malformed", first(main), first(`${a} ${b} refs/heads/x`), flushPacket],
    ["no capabilities", "push.malformed", textPacket(main), flushPacket],
    ["a NUL in the capabilities", "push.malformed", first(main, " quiet\0x"), flushPacket],
    ["a shallow line behind a command", "push.malformed", first(main), textPacket(`shallow ${a}`), flushPacket],
    ["shallow lines alone", "push.malformed", textPacket(`shallow ${a}`), flushPacket],
    [
      "upper-case hex",
      "push.malformed",
      first(main.toUpperCase().replace("REFS/HEADS/MAIN", "refs/heads/main")),
      flushPacket
    ],
    ["a length in upper case", "push.malformed", new TextEncoder().encode("00AE")],
    ["a delimiter for the end", "push.malformed", first(main), new TextEncoder().encode("0001")],
    ["an end of response for the end", "push.malformed", first(main), new TextEncoder().encode("0002")],
    ["an empty packet", "push.malformed", new TextEncoder().encode("0004")],
    ["a length of three", "push.malformed", new TextEncoder().encode("0003")],
    ["a packet longer than git's", "push.malformed", new TextEncoder().encode("fff1")],
    ["a ref twice", "push.malformed", first(main), textPacket(main), flushPacket],
    ["an unknown line", "push.malformed", textPacket("ERR no"), flushPacket],
    ["an unknown capability", "push.malformed", first(main, " future"), flushPacket],
    ["a capability twice", "push.malformed", first(main, " object-format=sha1 object-format=sha256"), flushPacket],
    ["a tab between capabilities", "push.malformed", first(main, " quiet\tpush-options"), flushPacket],
    ["a certificate", "push.certificate", textPacket(`push-cert\0${caps}\n`), textPacket(main)],
    ["a certificate behind a command", "push.certificate", first(main), textPacket("push-cert\n")],
    ["a certificate's nonce", "push.certificate", first(main, " push-cert=x"), flushPacket],
    [
      "an option with a space",
      "push.option",
      first(main, " push-options"),
      flushPacket,
      textPacket("a b"),
      flushPacket
    ],
    ["a long option", "push.option", first(main, " push-options"), flushPacket, textPacket("x".repeat(129))],
    ["a ref outside refs/", "ref.malformed", first(`${a} ${b} HEAD`), flushPacket],
    ["a ref of two parts", "ref.malformed", first(`${a} ${zeroId} refs/stash`), flushPacket],
    ["a ref with ..", "ref.malformed", first(`${a} ${b} refs/heads/a..b`), flushPacket],
    ["a ref with a line feed inside", "ref.malformed", first(`${a} ${b} refs/heads/a\nb`), flushPacket],
    ["bytes behind a delete", "push.malformed", first(`${a} ${zeroId} refs/heads/x`), flushPacket, emptyPack],
    ["bytes behind a probe", "push.malformed", flushPacket, first(main), flushPacket],
    ["a body that ends early", "push.malformed", first(main)],
    ["nothing at all", "push.malformed"]
  ]
  for (const [name, rule, ...parts] of cases) {
    it(name, () => {
      assert.strictEqual(refusalOf(...parts), rule)
    })
  }

  it("a name that is not UTF-8", () => {
    const bytes = first(`${a} ${b} refs/heads/x?`).slice()
    bytes[bytes.indexOf(0x3f)] = 0xff
    assert.strictEqual(refusalOf(bytes, flushPacket), "push.malformed")
  })

  it("more commands than are judged, and more bytes, each before the rest is read", () => {
    const many = Array.from({ length: maxCommands + 1 }, (_, index) => {
      const text = `${a} ${b} refs/heads/b${index}`
      return index === 0 ? first(text) : textPacket(text)
    })
    assert.strictEqual(refusalOf(...many), "push.limit")
    const long = Array.from({ length: 20 }, () => textPacket(`shallow ${a}${"\0".repeat(60_000)}`))
    assert.strictEqual(refusalOf(...long), "push.malformed")
    const filler = textPacket(`${a} ${b} refs/heads/${"x".repeat(60_000)}`)
    assert.isAbove(filler.length * 20, maxPreludeBytes)
    assert.strictEqual(refusalOf(filler), "push.malformed")
  })

  it("keeps its refusal, and what it had read of the client's wishes", () => {
    const reader = pushReader()
    const reading = reader.feed(joined([first(main), textPacket("nonsense")]))
    assert.strictEqual(reading._tag, "Malformed")
    assert.deepStrictEqual(reader.feed(flushPacket), reading)
    if (reading._tag !== "Malformed") return
    assert.deepStrictEqual(reading.commands, [{ old: a, new: b, ref: "refs/heads/main" }])
    assert.isTrue(reading.capabilities.has("side-band-64k"))
  })
})

const world = {
  ids: [a, b],
  refs: ["refs/heads/main", "refs/heads/feature/x", "refs/tags/v1", "HEAD", "refs/heads/../x"]
}

/** `KM_PUSH_RUNS` makes a long run of it; 10^7 of them take minutes. */
const runs = Number(process.env["KM_PUSH_RUNS"] ?? 3_000)

describe("beside git", () => {
  it("a push in which git finds a command is refused, or the same commands are found in it", () => {
    let accepted = 0
    let found = 0
    for (let seed = 1; seed <= runs; seed++) {
      const random = randomFrom(seed)
      const body = pushBody(random, world, seed % 4 === 0 ? 0 : 0.7)
      const git = gitReadsPush(body)
      const reading = readAll(body, inPieces(random, body))
      if (git.commands.length > 0) found++
      if (reading._tag !== "Prelude") continue
      accepted++
      assert.deepStrictEqual(reading.prelude.commands, git.commands, `seed ${seed}`)
      assert.deepStrictEqual(reading.prelude.options, git.options, `seed ${seed}`)
      assert.strictEqual(reading.prelude.consumed, git.pack, `seed ${seed}`)
    }
    // The generator is of no use if one side refuses nearly everything.
    assert.isAbove(accepted, runs / 20)
    assert.isAbove(found, accepted)
  })

  it.prop("arbitrary bytes are taken for more, for a push or for none, and never throw", [
    Schema.Uint8Array,
    Schema.Int
  ], ([bytes, seed]) => {
    const random = randomFrom(seed)
    assert.strictEqual(readAll(bytes, inPieces(random, bytes))._tag, readAll(bytes)._tag)
  })
})
