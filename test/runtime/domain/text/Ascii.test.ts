/** Letter case of names: nothing beyond ASCII becomes a letter of ours. */
import { assert, describe, it } from "@effect/vitest"
import { allowsSender, type ProvenSender, senderPattern } from "../../../../plugins/email/protocol/allowedSenders.ts"
import { MailAddress, mailAddress } from "../../../../plugins/email/protocol/MailAddress.ts"
import { SandboxId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { asciiLowerCase } from "../../../../runtime/domain/text/Ascii.ts"

/** Every character whose lower or upper case is an ASCII letter, and which is none itself. */
const impostors = Array.from({ length: 0x10_ffff }, (_, code) => code)
  .filter((code) => code > 0x7f && (code < 0xd800 || code > 0xdfff))
  .map((code) => String.fromCodePoint(code))
  .filter((letter) => /^[a-z]/i.test(letter.toLowerCase()) || /^[A-Z]/.test(letter.toUpperCase()))

describe("names", () => {
  it("know the letters that this is about", () => {
    for (const letter of ["\u212a", "\u017f", "\u0131", "\u0130"]) assert.include(impostors, letter)
  })

  it("change ASCII letters alone", () => {
    assert.strictEqual(asciiLowerCase("Sb-AAAA1111@Mail.EXAMPLE"), "sb-aaaa1111@mail.example")
    for (const letter of impostors) assert.strictEqual(asciiLowerCase(letter), letter)
  })

  it("are no addresses and no patterns of senders with such a letter in them", () => {
    const sender: ProvenSender = {
      sender: SandboxId.make("sb-aaaa1111"),
      alias: "kiosk",
      address: MailAddress.make("kiosk@mail.example"),
      certified: true
    }
    const self = SandboxId.make("sb-bbbb2222")
    assert.isTrue(allowsSender(["KIOSK"], sender, self))
    assert.strictEqual(mailAddress(" Kiosk@Mail.Example"), "kiosk@mail.example")
    for (const letter of impostors) {
      for (const text of [`${letter}iosk`, `kio${letter}k`, `k${letter}osk`]) {
        assert.isUndefined(mailAddress(`${text}@mail.example`))
        assert.isUndefined(senderPattern(text))
        assert.isFalse(allowsSender([text, `${text}@mail.example`], sender, self))
      }
    }
  })
})
