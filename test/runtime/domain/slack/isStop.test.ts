import { assert, describe, it } from "@effect/vitest"
import { isStop } from "../../../../runtime/domain/slack/ChatWords.ts"

describe("isStop", () => {
  it("takes the order with blanks and courtesy", () => {
    for (
      const order of [
        "!stop",
        "!STOP",
        " !Stop. ",
        "! stop",
        "!stop please",
        "!stop, please!",
        "!stop it now",
        "!stop!!",
        "\uff01stop"
      ]
    ) assert.isTrue(isStop(order), order)
  })

  it("leaves words about stopping to the agent", () => {
    for (
      const words of [
        "stop",
        "!stopwatch",
        "!stop-the-press",
        "!stops",
        "please !stop",
        "!stop the server",
        "!stop after 5 minutes",
        "!",
        ""
      ]
    ) assert.isFalse(isStop(words), words)
  })
})
