import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Schema } from "effect"
import {
  makeJsonLines,
  makeRedactor,
  maxHeldCharacters,
  redactedMark
} from "../../../../runtime/domain/text/Redactor.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"

/** Built from pieces, so that no scanner of this repository takes them for real ones. */
const body = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
const tokens = [
  ["xoxb", "1234567890", "1234567890123", body.slice(0, 24)].join("-"),
  ["xoxe.xoxp", "1", body].join("-"),
  ["xapp", "1", "A0123", "456", body].join("-"),
  `ghp_${body}`,
  `ghs_12345_eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.${body}-_x`,
  `github_pat_${body}`,
  `sk-ant-api03-${body}`,
  `AKIA${"ABCDEFGHIJKLMNOP"}`,
  `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.${body}`,
  `kmh_${body}abc`,
  `kmp_${body}abc`,
  `glpat-${body}`,
  `npm_${body.slice(0, 36)}`,
  `-----BEGIN ${"RSA PRIVATE KEY"}-----\nMIIE${body}\n${body}\n-----END ${"RSA PRIVATE KEY"}-----`
]
const buffer = (text: string) => Buffer.from(text, "utf8")
const secret = `p+/ss"w\\rd é${body.slice(0, 9)}`

const escaped = (of: string) => JSON.stringify(of).slice(1, -1)

const nested = (levels: number, inner: string) => "[".repeat(levels) + inner + "]".repeat(levels)

const objects = (levels: number, inner: string) => "{\"a\":".repeat(levels) + inner + "}".repeat(levels)

describe("Redactor", () => {
  const plain = makeRedactor([])

  it("takes out every known shape, wherever it stands", () => {
    for (const token of tokens) {
      for (const wrap of ["%", "token=%;", "(%)", "line\n%\nline", "say \"%\"", "\\n%\\n", "https://x/?t=%&y=1"]) {
        const text = wrap.replace("%", () => token)
        const out = plain.text(text)
        assert.strictEqual(out, wrap.replace("%", () => redactedMark), "all of it, and nothing else")
        assert.strictEqual(plain.text(out), out, "a second pass changes nothing")
      }
    }
  })

  it("takes out a private key whose end is cut off", () => {
    const out = plain.text(`before -----BEGIN ${"PRIVATE KEY"}-----\nMIIE${body}\n${body}\nafter words`)
    assert.notInclude(out, body)
    assert.include(out, "before")
    assert.include(out, "after words")
  })

  it("takes out a token with emphasis round it, however much of it", () => {
    const [, , , token = ""] = tokens
    for (const marks of ["_", "__", "___", "**", "~~", "`"]) {
      assert.notInclude(plain.text(`see ${marks}${token}${marks} now`), body.slice(0, 20), marks)
      const [begin, end] = [token.slice(0, 14), token.slice(14)]
      assert.notInclude(plain.text(`see ${begin}*${end}${marks} now`), end.slice(0, 12), marks)
    }
  })

  it("takes out what a label or a URL gives away", () => {
    for (
      const text of [
        "Authorization: Bearer abcdefgh12345678",
        "curl -H 'x-api-key: abcdefgh12345678'",
        "git clone https://user:abcdefgh12345678@example.com/a.git"
      ]
    ) assert.notInclude(plain.text(text), "abcdefgh12345678", text)
  })

  it("leaves ordinary text alone", () => {
    const text =
      "sk-learn, xoxo, AKIA, eyJ.eyJ, https://example.com:8080/a@b, ghp_short, Basic English, a:b@c, task-force"
    assert.strictEqual(plain.text(text), text)
  })

  it("takes out a handed-out value in every encoding it is met in", () => {
    const redactor = makeRedactor([secret])
    const spelled = [
      secret,
      JSON.stringify(secret),
      JSON.stringify(JSON.stringify(secret)),
      encodeURIComponent(secret),
      buffer(secret).toString("hex"),
      ...["", "x", "xy", "user:"].flatMap((before) =>
        ["", "z", "zz"].flatMap((after) => [
          buffer(before + secret + after).toString("base64"),
          buffer(before + secret + after).toString("base64url")
        ])
      )
    ]
    for (const spelling of spelled) assert.include(redactor.text(`a ${spelling} b`), redactedMark, spelling)
  })

  it("takes out a handed-out value whole, but for the characters that base64 shares with a neighbour", () => {
    const redactor = makeRedactor([secret])
    for (const spelling of [secret, encodeURIComponent(secret), buffer(secret).toString("hex")]) {
      assert.strictEqual(redactor.text(`a ${spelling} b`), `a ${redactedMark} b`)
    }
    for (const length of [9, 10, 11]) {
      const own = body.slice(0, length)
      const encoded = makeRedactor([own]).text(`a ${buffer(own).toString("base64")} b`)
      assert.match(encoded, length === 9 ? /^a \[redacted\] b$/ : /^a \[redacted\][A-Za-z0-9+/]={1,2} b$/)
    }
  })

  it("takes out each long line of a value that has several, wherever it stands", () => {
    const first = body.slice(0, 20)
    const second = body.slice(20)
    for (const lineEnd of ["\n", "\r\n"]) {
      const redactor = makeRedactor([[first, second, "short"].join(lineEnd)])
      for (const line of [first, second]) {
        assert.strictEqual(redactor.text(`+ ${line}, short`), `+ ${redactedMark}, short`)
      }
    }
    assert.strictEqual(makeRedactor([`${body.slice(0, 19)}\n`]).text(body.slice(0, 19)), body.slice(0, 19))
  })

  it("takes out every spelling from its first to its last character", () => {
    const redactor = makeRedactor([secret])
    const url = encodeURIComponent(secret)
    for (
      const spelling of [
        secret,
        escaped(secret),
        escaped(escaped(secret)),
        url,
        url.replace(/%../g, (each) => each.toLowerCase()),
        buffer(secret).toString("hex"),
        buffer(secret).toString("hex").toUpperCase()
      ]
    ) assert.strictEqual(redactor.text(`a ${spelling} b`), `a ${redactedMark} b`, spelling)
    const lines = makeRedactor(["first line\n\tsecond"])
    for (const written of ["first line\n\tsecond", "first line\\n\\tsecond", "first line\\\\n\\\\tsecond"]) {
      assert.strictEqual(lines.text(`a "${written}" b`), `a "${redactedMark}" b`, written)
    }
    for (const own of [secret, body.slice(0, 10), body.slice(0, 11), body.slice(0, 12)]) {
      for (const before of ["", "x", "xy"]) {
        for (const behind of ["", "z", "zz"]) {
          for (const form of ["base64", "base64url"] as const) {
            const encoded = buffer(before + own + behind).toString(form)
            // Six bits a character: what has bits of a neighbour differs with it, and stays.
            const from = Math.ceil(before.length * 8 / 6)
            const to = Math.floor((before.length + buffer(own).length) * 8 / 6)
            assert.strictEqual(
              makeRedactor([own]).text(`a ${encoded} b`),
              `a ${encoded.slice(0, from)}${redactedMark}${encoded.slice(to)} b`,
              `${before}+${own}+${behind}`
            )
          }
        }
      }
    }
  })

  it("makes one mark of what touches or holds another, the longest first", () => {
    const two = makeRedactor(["abcdefgh", "ijklmnop"])
    assert.strictEqual(two.text("1 abcdefghijklmnop 2 ijklmnop"), `1 ${redactedMark} 2 ${redactedMark}`)
    for (const secrets of [["abcdefgh", "abcdefghijkl"], ["abcdefghijkl", "abcdefgh"]]) {
      assert.strictEqual(makeRedactor(secrets).text("1 abcdefghijkl 2 abcdefgh"), `1 ${redactedMark} 2 ${redactedMark}`)
    }
    assert.strictEqual(plain.text(`see https://u:${tokens[0]}~and~more@h now`), `see https://u:${redactedMark}@h now`)
  })

  it("finds a value that has marks in it where they are taken away, and no shorter one for it", () => {
    const marked = makeRedactor(["pass**word**99x"])
    for (const shown of ["pass**word**99x", "pass**wo&#8203;rd**99x", "password99x"]) {
      assert.strictEqual(marked.text(`a ${shown} b`), `a ${redactedMark} b`, shown)
    }
    assert.strictEqual(makeRedactor(["**abc**def"]).text("abcdef"), "abcdef")
  })

  it("walks two hundred levels, and replaces what is below", () => {
    assert.strictEqual(plain.jsonLine(nested(201, "\"x\"")), nested(201, "\"x\""))
    assert.strictEqual(plain.jsonLine(nested(202, "\"x\"")), nested(201, `"${redactedMark}"`))
    assert.strictEqual(plain.jsonLine(objects(201, "1")), objects(201, "1"))
    assert.strictEqual(plain.jsonLine(objects(202, "1")), objects(201, `"${redactedMark}"`))
  })

  it("leaves its own mark alone, byte for byte", () => {
    for (const line of [`{ "a": "https://u:${redactedMark}@h" }`, `[ "x-api-key: ${redactedMark}" ]`]) {
      assert.strictEqual(plain.jsonLine(line), line)
    }
  })

  it("looks again where a replacement has given a token its boundary", () => {
    const two = `AKIA${"ABCDEFGHIJKLMNOP"}sk_${body.slice(0, 24)}`
    assert.strictEqual(plain.text(`a ${two} b`), `a ${redactedMark}${redactedMark} b`)
  })

  it("does not take a short value for a secret, in no spelling", () => {
    assert.strictEqual(makeRedactor(["", "abc"]).text("abc abcabc"), "abc abcabc")
    assert.strictEqual(makeRedactor(["abcdefg"]).text("abcdefg 61626364656667"), "abcdefg 61626364656667")
    assert.strictEqual(makeRedactor(["abcdefgh"]).text("abcdefgh"), redactedMark)
  })

  it("takes out numbers that are secrets, from JSON too, and leaves the others numbers", () => {
    const redactor = makeRedactor(["12345678"])
    assert.strictEqual(redactor.jsonLine("{\"a\":[12345678,1,null,true]}"), `{"a":["${redactedMark}",1,null,true]}`)
    assert.deepStrictEqual(redactor.value({ a: 12345678, b: 2 }), { a: redactedMark, b: 2 })
  })

  it("sees the value that a second key of the same name hides from whoever parses", () => {
    const line = `{"a":"${tokens[3]}","a":"fine"}`
    assert.strictEqual(plain.jsonLine(line), "{\"a\":\"fine\"}")
    assert.strictEqual(plain.jsonLine("{\"a\": 1,\"a\":2}"), "{\"a\": 1,\"a\":2}")
  })

  it("keeps values that hold no secret the very same", () => {
    const value = { a: ["x", { b: 1 }], c: null }
    assert.strictEqual(plain.value(value), value)
    const one = { a: ["x", tokens[3]] }
    assert.deepStrictEqual(plain.value(one), { a: ["x", redactedMark] })
  })

  it("returns a line without secrets byte for byte", () => {
    const line = "{ \"n\": 12345678901234567890, \"a\": [1.0, \"x\\u00e9\"], \"__proto__\": {\"b\": 1} }"
    assert.strictEqual(plain.jsonLine(line), line)
  })

  it("redacts keys, nested strings and __proto__ of a line, and treats broken JSON as text", () => {
    const redactor = makeRedactor(["nfoo-bar-secret"])
    const line =
      "{\"__proto__\":{\"k\":\"a\\nfoo-bar-secret\"},\"nfoo-bar-secret\":[{\"x\":\"nfoo-bar-secret\"}],\"n\":1}"
    assert.deepStrictEqual(JSON.parse(redactor.jsonLine(line)), {
      ["__proto__"]: { k: "a\nfoo-bar-secret" },
      [redactedMark]: [{ x: redactedMark }],
      n: 1
    })
    assert.strictEqual(redactor.jsonLine("{\"x\":\"nfoo-bar-secret"), `{"x":"${redactedMark}`)
  })

  it("replaces what is nested too deeply instead of failing", () => {
    const deep = "[".repeat(50_000) + `"${tokens[3]}"` + "]".repeat(50_000)
    const out = plain.jsonLine(deep)
    assert.notInclude(out, tokens[3] ?? "")
    assert.doesNotThrow(() => JSON.parse(out))
  })

  it.prop(
    "a line of JSON stays JSON and no string of it shows the secret",
    [Schema.Array(Schema.String), Schema.Int],
    ([pieces, at]) => {
      const redactor = makeRedactor([secret])
      const value = { pieces, joined: pieces.join(secret), token: tokens[Math.abs(at) % tokens.length] }
      const out = redactor.jsonLine(JSON.stringify(value))
      assert.notInclude(JSON.stringify(JSON.parse(out)), JSON.stringify(secret).slice(1, -1))
      assert.notInclude(out, body.slice(0, 20))
    }
  )

  it.prop("cutting a stream anywhere does not let a secret through", [Schema.Int], ([cut]) => {
    const redactor = makeRedactor([secret])
    const source = [
      JSON.stringify({ a: secret }),
      "{\"b\":1}",
      JSON.stringify({ c: tokens.join(" ") }),
      `torn ${secret}`
    ].join("\n")
    const at = Math.abs(cut) % source.length
    const lines = makeJsonLines(redactor)
    const out = lines.push(source.slice(0, at)) + lines.push(source.slice(at)) + lines.end()
    assert.notInclude(out, secret)
    assert.notInclude(out, body.slice(0, 20))
    assert.strictEqual(out.split("\n").length, 4)
    assert.strictEqual(out.split("\n")[1], "{\"b\":1}")
  })

  it("drops a line that is too long to hold, and goes on with the next", () => {
    const lines = makeJsonLines(plain)
    const half = "x".repeat(maxHeldCharacters / 2 + 1)
    const out = lines.push(half) + lines.push(half) + lines.push("tail\n{\"ok\":true}\n") + lines.end()
    assert.isBelow(out.length, 200)
    assert.deepInclude(JSON.parse(out.split("\n")[0] ?? ""), { type: "redacted" })
    assert.strictEqual(out.split("\n")[1], "{\"ok\":true}")
  })

  it("puts a line together from however many pieces", () => {
    const lines = makeJsonLines(plain)
    const out = ["{\"a\":", "\"gh", `p_${body}`, "\"}", "\n\n{\"b\":", "1}\n", "", "tail", ""].map(lines.push).join("")
    assert.strictEqual(out + lines.end(), `{"a":"${redactedMark}"}\n\n{"b":1}\ntail`)
    assert.strictEqual(lines.end(), "")
  })

  it("holds a line of the greatest length, one after the other, and gives nothing where nothing is held", () => {
    const lines = makeJsonLines(plain)
    assert.strictEqual(lines.end(), "")
    const longest = "x".repeat(maxHeldCharacters)
    for (let line = 0; line < 2; line++) assert.strictEqual(lines.push(longest) + lines.push("\n"), `${longest}\n`)
    assert.strictEqual(lines.end(), "")
    assert.strictEqual(lines.push(longest) + lines.end(), longest)
    assert.notInclude(lines.push(`${longest}y`) + lines.end(), "x".repeat(100))
  })

  it("is fast on hostile text", () => {
    // Nothing is timed: quadratic matching of these would outlast the test's own limit.
    const parts = ["eyJ", "xoxb", "-----BEGIN PRIVATE KEY-----", "authorization: bearer ", "a://b:", "gh_"]
    for (const part of parts) plain.text(part.repeat(200_000 / part.length))
  })
})

describe("Redaction", () => {
  it.effect("knows a secret from the moment it was added", () =>
    Effect.gen(function*() {
      const redaction = yield* Redaction
      assert.strictEqual(redaction.redact("a correct-horse b"), "a correct-horse b")
      yield* redaction.add(Redacted.make("correct-horse"))
      assert.strictEqual(redaction.redact("a correct-horse b"), `a ${redactedMark} b`)
      assert.strictEqual(redaction.current().jsonLine("[\"correct-horse\"]"), `["${redactedMark}"]`)
    }).pipe(Effect.provide(Redaction.layer)))
})
