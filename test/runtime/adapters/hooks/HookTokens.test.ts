import { assert, describe, it } from "@effect/vitest"
import { HookTokens, newToken } from "../../../../runtime/adapters/hooks/HookTokens.ts"
import { SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"

const session = (digit: string) => SessionId.make(`${digit.repeat(8)}-1111-4222-8333-444444444444`)
const [own, other, turn] = [session("1"), session("2"), session("3")]

/** What a call by this token is allowed; the door is the session whose jail it came from. */
const asked = (tokens: HookTokens, token: string, door?: SessionId) => {
  const verdict = tokens.check(`Bearer ${token}`, 0, door)
  return typeof verdict === "string" ? verdict : {
    dispatched: verdict.dispatched,
    speaksFor: [own, other, turn].filter(verdict.maySpeakFor)
  }
}

describe("the token of a session that a person works in", () => {
  it("speaks for that session and those that it becomes, and for no turn's", () => {
    const tokens = new HookTokens()
    const token = newToken()
    tokens.add(token, own, true)
    tokens.add(newToken(), turn)
    assert.deepStrictEqual(asked(tokens, token), { dispatched: false, speaksFor: [own, other] })
  })

  it("is good by its own door only, once it has one, and gone with it", () => {
    const tokens = new HookTokens()
    const token = newToken()
    const revoke = tokens.add(token, own, true)
    const close = tokens.openDoor(own)
    assert.strictEqual(asked(tokens, token), "unknown")
    assert.strictEqual(asked(tokens, token, other), "unknown")
    assert.deepStrictEqual(asked(tokens, token, own), { dispatched: false, speaksFor: [own, other, turn] })
    close()
    revoke()
    assert.strictEqual(asked(tokens, token, own), "unknown")
  })

  it("leaves a turn's token what it is", () => {
    const tokens = new HookTokens()
    const token = newToken()
    tokens.add(token, turn)
    tokens.add(newToken(), own, true)
    assert.deepStrictEqual(asked(tokens, token), { dispatched: true, speaksFor: [turn] })
  })
})
