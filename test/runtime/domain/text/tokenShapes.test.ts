/** Each shape of a token at its least length, bare and with its beginning broken; and a secret in each spelling. */
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { makeRedactor, redactedMark } from "../../../../runtime/domain/text/Redactor.ts"

/** Built from pieces, so that no scanner of this repository takes them for real ones. */
const mixed = (length: number): string => "a1B2c3D4e5F6g7H8i9J0".repeat(4).slice(0, length)
const lower = (length: number): string => "a1b2c3d4e5f6g7h8i9j0".repeat(4).slice(0, length)
const upper = "A2B3C4D5E6F7G2H3"

/** The shortest of each shape. */
const least: ReadonlyArray<readonly [beginning: string, rest: string]> = [
  ...["xoxb-", "xoxa-", "xoxz-", "xoxd-", "xoxe.xoxp-", "xwfp-", "xapp-1-"].map((begin) => [begin, mixed(8)] as const),
  ["hooks.slack.com/services/", mixed(8)],
  ["hooks.slack-gov.com/triggers/", mixed(8)],
  ...["ghp_", "gho_", "ghu_", "ghs_", "ghr_"].map((begin) => [begin, mixed(30)] as const),
  ["github_pat_", mixed(22)],
  ["sk-ant-", mixed(8)],
  ["sk-", mixed(32)],
  ["sk-", lower(32)],
  ["sk-proj-", lower(32)],
  ["sk-admin-", mixed(32)],
  ["AIza", mixed(35)],
  ["ya29.", mixed(20)],
  ["hf_", mixed(30)],
  ...["AKIA", "ASIA", "ABIA", "ACCA"].map((begin) => [begin, upper] as const),
  ...["glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-"].map((begin) => [begin, mixed(20)] as const),
  ["npm_", mixed(36)],
  ["pypi-", `AgE${mixed(30)}`],
  ["sk_live_", mixed(16)],
  ["rk_test_", mixed(16)],
  ["sk_", mixed(20)],
  ["rk_", mixed(20)],
  ["whsec_", mixed(20)],
  ["SG.", `${mixed(16)}.${mixed(16)}`],
  ...["dop_v1_", "doo_v1_", "dor_v1_"].map((begin) => [begin, "0a1b2c3d4e5f6789".repeat(4)] as const),
  ["eyJ", `${mixed(8)}.eyJ${mixed(8)}.`],
  ["kmh_", mixed(43)],
  ["kmp_", mixed(43)]
]

const plain = makeRedactor([])
const esc = "\u001b"

describe("the shapes of tokens", () => {
  for (const [beginning, rest] of least) {
    it(`${beginning} (${rest.length}): found at its least length, and not below it`, () => {
      const token = beginning + rest
      assert.strictEqual(plain.text(`a ${token} b`), `a ${redactedMark} b`)
      // What comes behind `sk-` counts as well.
      if (/^sk-(?:proj|admin)-/.test(beginning)) return
      const shorter = rest.endsWith(".") ? `${beginning}${rest.slice(1)}` : token.slice(0, -1)
      assert.strictEqual(plain.text(`a ${shorter} b`), `a ${shorter} b`)
    })

    it(`${beginning} (${rest.length}): found with its beginning broken, behind an escape that took its first letter`, () => {
      for (let at = 1; at < Math.min(beginning.length, 6); at++) {
        // The last two end with a letter that no reading of cut escapes takes for an end.
        for (const within of [`${esc}[0m`, `${esc}[2 q`, "**", "\b", `${esc}[5A`, `${esc}[5A\u200b`]) {
          const broken = `${beginning.slice(0, at)}${within}${beginning.slice(at)}${rest}`
          for (const text of [broken, `${esc}[32${broken}`]) {
            assert.notInclude(plain.text(text), rest.slice(-8), JSON.stringify(text))
          }
        }
      }
    })

    it(`${beginning} (${rest.length}): found with any character of it as HTML writes it`, () => {
      const token = beginning + rest
      const written = (at: number) => `${token.slice(0, at)}&#${token.charCodeAt(at)};${token.slice(at + 1)}`
      for (let at = 0; at < token.length; at++) assert.notInclude(plain.text(written(at)), token.slice(-8), written(at))
      assert.notInclude(plain.text(`${token.slice(0, -4)}&#8;${token.slice(-4)}`), token.slice(-4))
    })
  }
})

const found = (texts: ReadonlyArray<string>) => {
  for (const text of texts) assert.include(plain.text(text), redactedMark, text)
}
const stay = (texts: ReadonlyArray<string>) => {
  for (const text of texts) assert.strictEqual(plain.text(text), text)
}

describe("what stands before a shape", () => {
  it("may be a letter where nothing else begins so, and no letter or digit where a word can end so", () => {
    found([
      `end${`SG.${mixed(22)}.${mixed(43)}`}`,
      `endsk-svcacct-${mixed(32)}`,
      `endgh${`p_${mixed(30)}`}`,
      ...[
        "\\n",
        "\\r",
        "\\t",
        "\\b",
        "\\f",
        "%3D",
        "%3d",
        "%0a",
        "%ff",
        "%E2",
        `${esc}[`,
        `${esc}[32`,
        `${esc}[38;5:1`,
        "é",
        "_"
      ]
        .flatMap((before) => [
          `x${before}sk_${mixed(20)}`,
          `x${before}sk-${lower(32)}`,
          `x${before}SG.${mixed(16)}.${mixed(16)}`
        ])
    ])
    stay(
      ["x", "1", "%3", "%g0", "\\x"].flatMap((before) => [
        `${before}sk_${mixed(20)}`,
        `${before}SG.${mixed(16)}.${mixed(16)}`,
        `${before}SG.${mixed(21)}.${mixed(43)}`,
        `${before}SG.${mixed(22)}.${mixed(42)}`
      ])
    )
  })

  it("is a dot only where it is one, also with an escape in the text", () => {
    stay([`SGx${mixed(22)}.${mixed(43)}`, `ya29x${mixed(20)}`])
    assert.notInclude(plain.text(`${esc}[0mSGx${mixed(22)}.${mixed(43)}`), redactedMark)
    assert.notInclude(plain.text(`${esc}[0mya29x${mixed(20)}`), redactedMark)
  })

  it("of a key without a service's name has a digit", () => {
    found([`sk-${"1".repeat(32)}`, `sk-svcacct-${lower(32)}`, `sk-${"a".repeat(64)}1`])
    stay([`sk-${"a".repeat(32)}`, `sk-${"abcd-".repeat(8)}`, `sk-${"a".repeat(65)}1`])
  })
})

describe("private keys", () => {
  it("are found by their first line, whatever kind of key it names", () => {
    const dashes = "-----"
    for (const kind of ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", `${"A".repeat(39)} `]) {
      for (const block of ["", " BLOCK"]) {
        const name = `${kind}PRIVATE KEY${block}`
        assert.strictEqual(
          plain.text(`a ${dashes}BEGIN ${name}${dashes}\n${mixed(40)}\n${dashes}END ${name}${dashes} b`),
          `a ${redactedMark} b`,
          name
        )
        assert.notInclude(plain.text(`a ${dashes}BEGIN ${name}${dashes}\n${mixed(40)}`), mixed(40), name)
      }
    }
    stay([`${dashes}BEGIN ${"PUBLIC KEY"}${dashes}\n${mixed(40)}`])
  })
})

const addressWith = (scheme: string, user: string, password: string) => `${scheme}://${user}:${password}@host`

describe("what a label names", () => {
  const value = "abcdefgh"
  it("is a secret behind every mark that can stand between, and the label stays", () => {
    for (
      const [before, behind] of [
        [": ", ""],
        ["=", ""],
        [" => ", ""],
        ["\": \"", "\""],
        ["'='", "'"],
        ["`: `", "`"],
        ["\"] = \"", "\""],
        ["\"), \"", "\""],
        ["|", "|"],
        [">", "<"],
        ["\\\": \\\"", "\\\""],
        ["\\\\\\\\\":\\\\\\\\\"", ""],
        [`${" ".repeat(8)}:${" ".repeat(8)}`, ""]
      ]
    ) {
      const line = (shown: string) => `x-api-key${before}${shown}${behind}`
      assert.strictEqual(plain.text(line(value)), line(redactedMark))
    }
    stay([
      `x-api-key ${value}`,
      `x-api-key${" ".repeat(9)}: ${value}`,
      `x-api-key:${" ".repeat(9)}${value}`,
      "x-api-key: abcdefg"
    ])
  })

  it("is what stands in an address between name and host", () => {
    for (
      const [scheme, user, password] of [
        ["ab", "u", "abc"],
        ["HTTPS", "User", "abc"],
        ["redis", "", "abc"],
        ["git+ssh", "u", "abc"],
        ["a".repeat(21), "u", "abc"],
        ["https", "u".repeat(100), "abc"],
        ["https", "u", "p".repeat(300)],
        ["https", "u", "p%40!$&*+,;=x"]
      ] as const
    ) {
      assert.strictEqual(
        plain.text(`a ${addressWith(scheme, user, password)}/b`),
        `a ${addressWith(scheme, user, redactedMark)}/b`
      )
    }
    stay([
      addressWith("a", "u", "abc"),
      addressWith("a".repeat(22), "u", "abc"),
      addressWith("https", "u".repeat(101), "abc"),
      addressWith("https", "u", "ab"),
      addressWith("https", "u", "p".repeat(301)),
      addressWith("https", "u v", "abc"),
      addressWith("https", "u", "a b"),
      "https://u:abc",
      "https://host:8080/a:bcd"
    ])
  })
})

describe("a secret that is known", () => {
  it.prop(
    "is found in each spelling that programs give it",
    [Schema.Uint8Array.check(Schema.isMinLength(12), Schema.isMaxLength(40))],
    ([bytes]) => {
      const secret = Buffer.from(bytes).toString("latin1")
      const { text } = makeRedactor([secret])
      const raw = Buffer.from(secret, "utf8")
      for (
        const spelling of [
          raw.toString("base64"),
          raw.toString("base64url"),
          raw.toString("hex"),
          raw.toString("hex").toUpperCase()
        ]
      ) {
        const shown = text(`a ${spelling} b`)
        // The last characters of base64 depend on what may follow.
        assert.notInclude(shown, spelling.slice(0, Math.floor(raw.length / 3) * 4), spelling)
      }
    }
  )
})
