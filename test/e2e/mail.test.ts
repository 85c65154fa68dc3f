/** Two agents of the real CLI write to each other from their own Bash, in the jail where this machine has one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, startStack } from "../support/Stack.ts"

describe("mail between agents, end to end", () => {
  it.live(
    "one agent asks, the other reads it verified and encrypted, and its channel is told",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const ada = yield* stack.sandbox()
        const bob = yield* stack.sandbox()
        // The writer takes its time, as programs do: nothing is there yet when km-send begins to read.
        const slowly = "(sleep 1; echo 'run the tests')"
        const asked = yield* ada.say(bashScript(`${slowly} | km-send --to ${bob.row.id} --subject 'job 17'`))
        const sent = yield* ada.untilReaction(asked, "white_check_mark")
        assert.match(botTexts(sent, stack.workspace.botUserId).join("\n"), /@km\.invalid/)

        const told = yield* stack.workspace.waitFor(
          (change) => JSON.stringify(change).includes(`Mail from \`${ada.row.id}@km.invalid\` (verified): job 17`),
          0
        )
        assert.isDefined(told)

        const command = `km-recv --json --wait 20 --mark-read --subject 'job 17' | grep -E '"(status|body|encrypted)"'`
        const read = yield* bob.untilReaction(yield* bob.say(bashScript(command)), "white_check_mark")
        const text = botTexts(read, stack.workspace.botUserId).join("\n")
        assert.include(text, "\"status\": \"verified\"")
        assert.include(text, "\"encrypted\": true")
        assert.include(text, "\"body\": \"run the tests\"")
        assert.notInclude(text, "KM-EML")
      })
  )

  it.live("an agent without mail has no mail programs", () =>
    Effect.gen(function*() {
      const stack = yield* startStack()
      const { spec } = slackProfile
      const mute = yield* stack.sandbox(profileWith({ ...spec.cli, notifyEmailEnabled: false }))
      const asked = yield* mute.say(bashScript("echo hi | km-send --to operator --subject x; echo exit-$?"))
      const told = yield* mute.untilReaction(asked, "white_check_mark")
      const text = botTexts(told, stack.workspace.botUserId).join("\n")
      // The shell's own word for a command that is not there.
      assert.include(text, "exit-127")
    }))
})
