/** Files between a thread and the agent, both ways, with what people run. */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, filesOf, type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, tokenOf } from "../support/Workspace.ts"

class Running extends Context.Service<Running, Stack>()("km/test/e2e/RunningFiles") {}

const chatting = {
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true,
  slackMaxFileMegabytes: 1
}

/** Ada drops files with these words; the message's `ts`. */
const drop = Effect.fnUntraced(function*(
  stack: Stack,
  sandbox: StackSandbox,
  words: string,
  files: ReadonlyArray<{ readonly file: Buffer; readonly filename: string }>
) {
  const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
  yield* Effect.promise(() =>
    ada.filesUploadV2({ channel_id: sandbox.channel, initial_comment: words, file_uploads: [...files] })
  )
  const shared = yield* untilReal(
    "the message with the files is there",
    Effect.map(
      Effect.orDie(stack.workspace.messages(sandbox.channel)),
      (messages) => messages.find(({ message }) => String(message["text"]).includes(words))
    )
  )
  return shared.ts
})

const answerTo = Effect.fnUntraced(function*(stack: Stack, sandbox: StackSandbox, ts: string) {
  const done = yield* sandbox.untilReaction(ts, "white_check_mark")
  return botTexts(done, stack.workspace.botUserId).join("\n")
})

describe.concurrent("files in a thread", () => {
  layer(Layer.effect(Running, startStack()), { excludeTestServices: true, timeout: "10 minutes" })((it) => {
    it.effect("reach the agent as files that it reads and cannot change", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(profileWith(chatting))
        const command = "cd \"$KM_INBOX\"/*/ && md5sum data.bin notes.txt && cat notes.txt; " +
          "{ echo x >> notes.txt; } 2>/dev/null && echo CHANGED; pwd"
        const ts = yield* drop(stack, sandbox, bashScript(command), [
          { filename: "data.bin", file: Buffer.alloc(700_000, 7) },
          { filename: "notes.txt", file: Buffer.from("the plan is heliotrope\n") }
        ])
        const text = yield* answerTo(stack, sandbox, ts)
        assert.include(text, "the plan is heliotrope")
        const inbox = path.join(stack.state, "sandboxes", sandbox.row.id, "inbox", ts.replace(".", "-"))
        assert.deepStrictEqual(fs.readdirSync(inbox).toSorted(), ["data.bin", "notes.txt"])
        assert.strictEqual(fs.statSync(path.join(inbox, "data.bin")).size, 700_000)
        // Jailed, the agent cannot write there; elsewhere every status says that it can.
        const jailed = text.includes("/run/km/inbox")
        assert.strictEqual(text.includes("CHANGED"), !jailed)
        const requests = yield* stack.model.requests
        assert.isTrue(
          requests.some(({ body }) =>
            body.includes(`${jailed ? "/run/km/inbox" : inbox.slice(0, -18)}/${ts.replace(".", "-")}/notes.txt`)
          )
        )
        assert.deepStrictEqual(fs.readdirSync(path.join(stack.state, "objects", sandbox.row.id)), [])
        // The next turn of the thread still has them.
        const later = yield* sandbox.say(bashScript("cat \"$KM_INBOX\"/*/notes.txt"), ts)
        assert.include(yield* answerTo(stack, sandbox, later), "heliotrope")
      }))

    it.effect("that are too large are refused in the thread, and the turn goes on", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(profileWith(chatting))
        const ts = yield* drop(stack, sandbox, "script:text went on", [
          { filename: "huge.iso", file: Buffer.alloc(1_100_000) }
        ])
        const text = yield* answerTo(stack, sandbox, ts)
        assert.include(text, "huge.iso did not reach the agent: it is larger than this sandbox takes. (KM-SLK-311)")
        assert.include(text, "went on")
      }))

    it.effect("come from the agent by km-attach, and only those that it can read", () =>
      Effect.gen(function*() {
        const stack = yield* Running
        const sandbox = yield* stack.sandbox(profileWith(chatting))
        const ledger = path.join(stack.state, "sandboxes", sandbox.row.id, "ledger.db")
        const command = "printf 'a,b\\n1,2\\n' > table.csv; km-attach table.csv; " +
          `ln -s ${ledger} link; km-attach link 2>&1 | head -1; head -c 1200000 /dev/zero > big; km-attach big 2>&1 | head -1`
        const ts = yield* sandbox.say(bashScript(command))
        const text = yield* answerTo(stack, sandbox, ts)
        assert.include(text, "attached table.csv")
        assert.include(text, "error KM-SLK-316")
        const jailed = text.includes("error KM-SLK-315")
        const files = filesOf(yield* sandbox.untilFiles(ts, (names) => names.includes("table.csv")))
        // Without a jail the agent can read what its user can, and so can it attach it.
        assert.deepStrictEqual(files.filter((name) => name !== "table.csv"), jailed ? [] : ["link"])
      }))
  })
})
