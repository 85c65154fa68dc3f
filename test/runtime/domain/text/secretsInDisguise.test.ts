import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { withoutHidden } from "../../../../runtime/domain/text/HiddenText.ts"
import { makeRedactor, redactedMark } from "../../../../runtime/domain/text/Redactor.ts"
import { disguise, Disguised, disguisedTokens, disguises, shows, surroundings } from "../../../support/disguises.ts"
import { runs } from "../../../support/runs.ts"

const plain = makeRedactor([])
const value = ["correct", "horse", "battery", "staple"].join("-")
const esc = "\u001b"

/** As URLs write what is no letter and no digit. */
const encode = (text: string): string =>
  text.replaceAll(/[^A-Za-z0-9]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`)

describe("a token in disguise", () => {
  it("is taken out with any one disguise in the middle, before, or behind", () => {
    for (const [shape, token] of disguisedTokens) {
      for (const what of disguises) {
        const half = token.length >> 1
        const text = plain.text(`a ${token.slice(0, half)}${what}${token.slice(half)} b`)
        assert.isFalse(shows(text, token), `${shape} with ${JSON.stringify(what)} in it: ${JSON.stringify(text)}`)
        assert.isFalse(shows(text, token.slice(0, half)), `${shape}, first half, ${JSON.stringify(what)}`)
      }
      for (const around of surroundings) {
        const text = plain.text(`a ${around}${token}${around} b`)
        assert.isFalse(shows(text, token), `${shape} in ${JSON.stringify(around)}: ${JSON.stringify(text)}`)
      }
    }
  })

  it("is found in a URL within a URL, however often it is encoded", () => {
    const known = makeRedactor([`${value}/+=`])
    for (const [shape, token] of [...disguisedTokens, ["a value", `${value}/+=`] as const]) {
      for (let text = encode(token), level = 1; level <= 4; level++, text = encode(text)) {
        const shown = known.text(`https://a.test/?next=${text}&x=1`)
        assert.strictEqual(shown, `https://a.test/?next=${redactedMark}&x=1`, `${shape}, ${level} times: ${text}`)
      }
    }
  })

  it.prop("never leaves in text, whatever stands in it and around it", [Disguised], ([given]) => {
    const text = plain.text(disguise(given))
    assert.isFalse(shows(text, given.token), text)
    assert.strictEqual(plain.text(text), text, "a second pass changes nothing")
    assert.strictEqual(withoutHidden(text), text, "nothing is left to be taken out later")
  }, runs(1_000))

  it("is found where a cut escape before it took its first letter, beside whole ones within it", () => {
    const token = "hf_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7"
    for (const cutOff of [`${esc}__`, `${esc}[32`, `${esc} `, `${esc}**`, esc, `${esc}P`, "\u009b1"]) {
      for (const within of [`${esc}[2 q`, `${esc}[0m`, "\b", `${esc}Pq${esc}\\`, "**", `${esc}(B`]) {
        for (const at of [1, 2, 3]) {
          const text = plain.text(`${cutOff}${token.slice(0, at)}${within}${token.slice(at)}`)
          assert.isFalse(shows(text, token.slice(at)), JSON.stringify([cutOff, within, at, text]))
        }
      }
    }
  })

  it("is found before what a cut escape left of an encoded character", () => {
    const token = `AKIA${"ABCDEFGHIJKLMNOP"}`
    for (const behind of [`${esc}&#8203;`, `${esc}&#x200b;`, `${esc}%E2%80%8B`, "&#8203;", "7", "_", "."]) {
      const text = plain.text(`${token.slice(0, -3)}${esc}[32m${token.slice(-3)}${behind}`)
      assert.isFalse(shows(text, token), JSON.stringify([behind, text]))
    }
  })

  it("is found behind a cut escape that would begin a string, and behind a backslash that is one before an f", () => {
    const hugging = "hf_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7"
    const cut = plain.text(`${esc}__h${esc}[2 q${hugging.slice(1)}`)
    assert.isFalse(shows(cut, hugging.slice(1)), cut)
    const flow = "xwfp-1234567890-a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
    const inner = JSON.stringify({ output: `xw${esc}Pq${esc}\\${flow.slice(2)}` })
    const line = plain.jsonLine(JSON.stringify({ type: "user", message: { content: [{ content: inner }] } }))
    assert.isFalse(shows(line, flow.slice(2)), line)
  })

  it.prop("never leaves in a line of JSON, nor in JSON within JSON", [Disguised], ([given]) => {
    const inner = JSON.stringify({ output: disguise(given) })
    for (const content of [disguise(given), inner, JSON.stringify({ inner }), inner.replaceAll("/", "\\/")]) {
      const line = plain.jsonLine(JSON.stringify({ type: "user", message: { content: [{ content }] } }))
      assert.isFalse(shows(line, given.token), line)
      assert.doesNotThrow(() => JSON.parse(line))
    }
    assert.isFalse(shows(plain.text(inner), given.token), "JSON that is shown as text")
  }, runs(500))

  it.prop(
    "is found when it is a value that was handed out",
    [Schema.Array(Schema.Literals(disguises)), Schema.Int],
    ([parts, seed]) => {
      const redactor = makeRedactor([value])
      const text = parts.reduce((current, part, index) => {
        const at = 2 + Math.abs(seed + index * 7) % (current.length - 2)
        return current.slice(0, at) + part + current.slice(at)
      }, `a ${value}`)
      // An escape put into another is no disguise any more but text of its own.
      if (parts.length <= 1) assert.include(redactor.text(text), redactedMark)
      assert.notInclude(withoutHidden(redactor.text(text)), value)
    },
    runs(300)
  )

  it("is taken out as git diff --color prints it, without residue", () => {
    const [, token] = disguisedTokens[5] ?? ["", ""]
    const diff = `${esc}[1mdiff --git a/.env b/.env${esc}[m\n${esc}[36m@@ -1 +1 @@${esc}[m\n`
      + `${esc}[31m-TOKEN=${esc}[m\n${esc}[32m+${esc}[m${esc}[32mTOKEN=${token}${esc}[m\n${esc}[32m${token}${esc}[m`
    assert.strictEqual(
      plain.text(diff),
      `diff --git a/.env b/.env\n@@ -1 +1 @@\n-TOKEN=\n+TOKEN=${redactedMark}\n${redactedMark}`
    )
  })

  it("is taken out behind an escape that was cut, which would take its first letter along", () => {
    for (const [shape, token] of disguisedTokens) {
      for (const cut of [esc, `${esc}[`, `${esc}[32`, `${esc}[38;5`, "\u009b1", `${esc}(`]) {
        assert.strictEqual(
          plain.text(`a ${cut}${token}`),
          `a ${redactedMark}`,
          `${shape} behind ${JSON.stringify(cut)}`
        )
      }
    }
  })

  it("is taken out behind a cut escape with a whole one within", () => {
    for (const [shape, token] of disguisedTokens) {
      for (const within of [`${esc}[2 q`, `${esc}[32m`, `${esc}[?25h`, `${esc}(B`]) {
        for (const cut of [`${esc}[32`, `${esc}__`, `${esc}(`]) {
          const text = plain.text(`a ${cut}${token.slice(0, 1)}${within}${token.slice(1)}`)
          assert.isFalse(shows(text, token), `${shape} with ${JSON.stringify([cut, within])}: ${text}`)
        }
      }
    }
  })

  it("is taken out of JSON within JSON when an escape's end stands before a letter that a backslash changes", () => {
    for (const letter of ["b", "f", "n", "r", "t", "u"]) {
      const token = `ghp_${letter}1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8`
      for (const behind of ["", "\b", "\u0000", `${esc}Pq${esc}\\`]) {
        const inner = JSON.stringify({
          output: `ghp_${esc}]8;;https://a.test${esc}\\${behind}${token.slice(4)}`
        })
        for (const content of [inner, JSON.stringify({ inner })]) {
          assert.isFalse(shows(plain.jsonLine(JSON.stringify({ content })), token), content)
          assert.isFalse(shows(plain.text(content), token), content)
        }
      }
    }
  })

  it("is taken out with Markdown's marks in its prefix", () => {
    const rest = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    for (
      const text of [
        `ghp\\_${rest}`,
        `**ghp**_${rest}`,
        `g**hp\\_**${rest}`,
        `ghp_**${rest.slice(0, 10)}**${rest.slice(10)}`,
        `ghp_[${rest.slice(0, 10)}](https://a.test)${rest.slice(10)}`,
        `gh__p_${rest}`,
        `_xoxb_-1234567890-${rest}`,
        `sk-_ant_-api03-${rest}`,
        `xoxb\\-1234567890\\-${rest}`,
        `&#103;hp&lowbar;${rest}`,
        `ghp\u005c\u005c_${rest}`
      ]
    ) assert.isFalse(shows(plain.text(text), rest), text)
  })
})

describe("what AWS prints", () => {
  const key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
  const session = `FwoGZXIvYXdzEBYaD${"k1L2m3N4o5P6q7R8/s9T0+".repeat(12)}==`
  const printed = JSON.stringify(
    { Credentials: { SecretAccessKey: key, SessionToken: session, Expiration: "x" } },
    null,
    4
  )

  it("hides the secret key and the session's token, and keeps their labels", () => {
    for (
      const text of [
        printed,
        JSON.stringify(printed),
        JSON.stringify(JSON.stringify(printed)),
        `AWS_SECRET_ACCESS_KEY=${key}\nexport AWS_SESSION_TOKEN="${session}"`,
        `aws_secret_access_key = ${key}\naws_session_token = ${session}`,
        `<SecretAccessKey>${key}</SecretAccessKey><SessionToken>${session}</SessionToken>`,
        `|  SecretAccessKey|  ${key}  |\n|  SessionToken |  ${session}  |`,
        `- **SecretAccessKey**: \`${key}\`\n- **SessionToken**: \`${session}\``,
        `secretAccessKey: '${key}', sessionToken: '${session}'`,
        `${esc}[34mSecretAccessKey${esc}[0m: ${esc}[32m"${key}"${esc}[0m, "SessionToken": "${esc}[32m${session}"`,
        JSON.stringify({ SecretAccessKey: key, SessionToken: session }).replaceAll("/", "\\/")
      ]
    ) {
      const out = plain.text(text)
      assert.isFalse(shows(out, key), out)
      assert.isFalse(shows(out, session), out)
      assert.match(out, /access_?key/i)
    }
  })
})

describe("what is no secret", () => {
  it("stays, however much it looks like one", () => {
    for (
      const text of [
        "xapp-example-app is the app's name, and xapp-my-second-app-2 another",
        "export SLACK_BOT_TOKEN=xoxb-your-bot-token",
        "task-force-of-the-unified-management-1234567890-abcdefgh",
        "the disk-encryption-set-for-all-of-the-machines-v2",
        "const sessionToken = await createSessionTokenForUser(user)",
        "sessionToken: string; secretAccessKey: string | undefined",
        "MSG.someLongIdentifierName.anotherLongIdentifierName",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "https://example.com:8443/a/b?c=d#e and user@example.com",
        "**bold**, _it_, `code`, [a link](https://example.com/a_b_c), a\\_b, <b>x</b>, 2**3**2",
        "snake_case_name_that_is_long_enough_to_look_odd, risk_assessment_of_the_year",
        "550e8400-e29b-41d4-a716-446655440000"
      ]
    ) assert.strictEqual(plain.text(text), text)
  })
})
