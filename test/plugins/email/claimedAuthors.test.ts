/** However a message spells the address of somebody who always signs: without the signature it is no stranger's mail. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { domainToASCII } from "node:url"
import { addressesNamed } from "../../../plugins/email/protocol/namedAddresses.ts"
import { alice, read } from "./world.ts"

const [id, alias] = alice.addresses
const [local = "", domain = ""] = String(id).split("@")
const base64 = (text: string) => `=?utf-8?b?${Buffer.from(text).toString("base64")}?=`

const spellings: ReadonlyArray<string> = [
  `${local} @ ${domain}`,
  `${local}\r\n @${domain}`,
  `${local}@\r\n\t${domain}`,
  `Bob <${local}\t@\t${domain}>`,
  `${local}(one)@(two (three))${domain}`,
  `${local}@mail (one) . (\\)) example`,
  `build . alice @ ${domain}`,
  `"build"."alice"@${domain}`,
  `build."alice"@${domain}`,
  `"sb\\-aaaa1111"@${domain}`,
  `"x" <"${local}"@${domain}>`,
  `<@x.example,@y.example:${id}>`,
  `<@x.example : ${local} @ ${domain}>`,
  `friends: Bob <${id}>, x@y.example;`,
  `x@y.example, ${id}`,
  `${id} <x@y.example>`,
  `"${id}" <x@y.example>`,
  `x@y.example (${id})`,
  `=?utf-8?q?${local}=40${domain}?= <x@y.example>`,
  `${base64(String(alias))} <x@y.example>`,
  `=?utf-8?q?sb-aaaa?= =?utf-8?q?1111=40mail.example?= <x@y.example>`,
  `=?utf-8?q?${local}?=@${domain}`,
  `${local.toUpperCase()}@Mail.EXAMPLE`,
  `"sb\\-aaaa1111"(one)@${domain}`,
  `${local}\\@(one)${domain}`,
  `(open ${local}(one)@${domain}`,
  `(open (twice ${local}(one (two))@${domain}`,
  `"(" ${local}(one)@${domain}`,
  `${local}("one)@${domain}`,
  `${local}(one\\))@${domain}`,
  `${id}.`,
  `<${local}@${domain} . >`,
  `${local}@[${domain}]`,
  `${local}\\@${domain}`,
  `<${id}`,
  `"open <${id}>`,
  `(open ${id}`,
  `${local}＠${domain}`,
  `${local}@ｍａｉｌ．example`,
  `${local}@mail。example`,
  `build.al\u200bice@${domain}`,
  `${local}@mail.\u00adexample`,
  `build.al\u0131ce@${domain}`,
  `ѕb-аааа1111@${domain}`,
  `sb\u2010aaaa1111@${domain}`,
  `${local}@MАIL.example`,
  `ЅB-АААА1111@${domain}`,
  `${local}@mаil.example`,
  `${local}@${domainToASCII("mаil.example")}`,
  `${base64(`ѕb-aaaa1111@mаil.example`)} <x@y.example>`
]

const heads: ReadonlyArray<string> = [
  ...spellings.map((from) => `From: ${from}`),
  ...spellings.map((sender) => `From: x@y.example\r\nSender: ${sender}`),
  `From: x@y.example\r\nFrom: ${id}`,
  `From : ${id}`,
  `From\t: ${id}`,
  `FROM:${id}`,
  `From:\r\n ${id}`,
  `\ufeffFrom: ${id}`,
  `From\u00a0: ${id}`,
  `X-Note: y\rFrom: ${id}`,
  `X-Note: y\0Sender: ${id}`,
  ` From: ${id}`,
  `From: sb-aaaa\u00001111@${domain}`,
  `From: ${"x@y.example, ".repeat(10_000)}${id}`
]

describe("mail without a signature", () => {
  it.effect("is refused as a downgrade, however it spells the author who signs", () =>
    Effect.gen(function*() {
      for (const head of heads) {
        const verdict = yield* read(`${head}\r\nSubject: pay\r\n\r\nnow`)
        const said = [verdict.status, verdict.reason]
        assert.deepStrictEqual(said, ["invalid", "downgraded"], JSON.stringify(head.slice(0, 200)))
      }
    }))

  it.effect("is a stranger's where it names nobody who signs", () =>
    Effect.gen(function*() {
      for (
        const from of [
          "x@y.example",
          "Alice Example <alice@y.example>",
          `${id}.org`,
          `not${id}`,
          `${local}@y.example`,
          `${local}@y.${domain}`,
          `${local} <x@${domain}>`,
          "Дмитрий <dmitri@почта.example>",
          ""
        ]
      ) {
        const verdict = yield* read(`From: ${from}\r\nSubject: From: ${id}\r\n\r\nhello`)
        assert.deepStrictEqual([verdict.status, verdict.reason], ["unsigned", "no-signature"], from)
      }
    }))

  it("names what stands around an at sign, without dots and hyphens at either end, and nothing where there is no address", () => {
    for (const none of ["", "Ann", "group:;"]) assert.deepStrictEqual([...addressesNamed(none)], [], none)
    // What a library takes for an address, perhaps, but none with a name and a domain.
    for (const none of ["a@", "@b.example", "a @ ", "a@;", "@", "\"a@\""]) {
      assert.isFalse([...addressesNamed(none)].some((address) => /.@./.test(address)), none)
    }
    assert.deepStrictEqual([...addressesNamed("A@B.example")], ["a@b.example"])
    for (const edged of ["..a@b.example", "--a@--b.example--", ".a.@.b.example..", "-.a@b.example.-"]) {
      assert.isTrue(addressesNamed(`"${edged}"`).has("a@b.example"), edged)
    }
    // Walked back so far and no further.
    assert.isTrue(addressesNamed(`"(${"a".repeat(254)}@b.example"`).has(`${"a".repeat(254)}@b.example`))
    assert.isTrue(addressesNamed(`"(${"a".repeat(256)}@b.example"`).has(`${"a".repeat(254)}@b.example`))
  })

  it("names an address of an international domain in the form that certificates have", () => {
    for (const spelled of ["MÜNCHEN.example", "mu\u0308nchen.example", "xn--mnchen-3ya.example"]) {
      assert.isTrue(addressesNamed(`x@${spelled}`).has("x@xn--mnchen-3ya.example"), spelled)
    }
  })
})
