/**
 * Mail that starts work: an agent of the real CLI asks by mail and waits, the other's runtime starts its agent and mails
 * the answer back.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { DatabaseSync } from "node:sqlite"
import { statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { mailProgram } from "../support/mailPrograms.ts"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, filesBelow, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

const slack = { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }
const worker = profileWith(slack, { email: { onReceive: "turn", allowedSenders: ["install"] } })

const count = (file: string, sql: string): unknown => {
  const database = new DatabaseSync(file)
  try {
    return database.prepare(sql).get()?.["n"]
  } finally {
    database.close()
  }
}

describe("mail that starts work, end to end", () => {
  it.live(
    "one mail is one turn, and its answer comes back to who waits for it",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        // She takes mail as work too, but not the reply that she waits for.
        const ada = yield* stack.sandbox(worker)
        const bob = yield* stack.sandbox(worker)
        const work = bashScript("echo \"the tests pass\"; km-recv --json --id \"$KM_MAIL_ID\" | grep -c '\"hop\": 0'")
        const command = `echo ${work} | km-send --to ${bob.row.id} --subject 'job 17' --encrypt --wait-reply --json`
        const asked = yield* ada.untilReaction(yield* ada.say(bashScript(command)), "white_check_mark")
        const text = botTexts(asked, stack.workspace.botUserId).join("\n")
        assert.match(text, /"body":"Output:\\n\\nthe tests pass\\n1"/)
        const expected = {
          status: "verified",
          sender: bob.row.id,
          subject: "Re: job 17",
          hop: 1,
          encrypted: true,
          read: false
        }
        for (const [name, value] of Object.entries(expected)) assert.include(text, `"${name}":${JSON.stringify(value)}`)

        // The channel of the worker shows the answer below the line that announced the mail.
        const reply = yield* stack.workspace.waitFor(
          (change) => change.channel === bob.channel && JSON.stringify(change).includes("the tests pass"),
          0
        )
        const thread = yield* bob.thread(String(reply.threadTs))
        assert.include(String(thread.message["text"]), "Mail from")

        const requests = (yield* stack.model.requests).map(({ body }) => body).join("\n")
        assert.include(requests, `[km] Mail from the agent of ${ada.row.id} (${ada.row.id}\uFF20km.invalid), verified`)
        assert.include(requests, "Subject: job 17")

        // One turn in all: the awaited reply started none, and nothing is left to be read.
        const paths = statePaths(stack.state)
        const mailTurns = "SELECT COUNT(*) AS n FROM turns WHERE key LIKE 'mail:%'"
        assert.strictEqual(count(paths.sandbox(ada.row.id).ledger, mailTurns), 0)
        assert.strictEqual(count(paths.sandbox(bob.row.id).ledger, mailTurns), 1)
        assert.strictEqual(count(paths.database, "SELECT COUNT(*) AS n FROM mail WHERE unread = 1"), 0)
      })
  )

  it.live(
    "who waits goes on through a kill -9 of the runtime in the middle of the other's turn, and gets one answer",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const paths = statePaths(stack.state)
        const tester = yield* stack.quietSandbox(profileWith())
        const builder = yield* stack.quietSandbox(
          profileWith({}, { email: { onReceive: "turn", allowedSenders: [tester.id] } })
        )
        const command = ["--to", builder.id, "--subject", "job", "--wait-reply", "300"]
        const asked = yield* Effect.forkChild(
          mailProgram(paths.sandbox(tester.id).directory, "km-send", command, "script:slow:8000")
        )
        // Its conversation is on disk, so that it can be gone on with.
        yield* untilReal(
          "the agent has begun",
          Effect.sync(() => filesBelow(paths.sandbox(builder.id).home).some((name) => name.endsWith(".jsonl")))
        )
        yield* stack.runtime.kill9
        yield* stack.startRuntime
        const { err, exit, out } = yield* Fiber.join(asked)
        assert.strictEqual(exit, 0, err)
        assert.isNotEmpty(out.toString().trim())
        const ledger = paths.sandbox(builder.id).ledger
        const result = "SELECT json_extract(row, '$.result') AS n FROM turns"
        assert.strictEqual(count(ledger, "SELECT COUNT(*) AS n FROM turns"), 1)
        assert.strictEqual(count(ledger, result), "answered")
        assert.strictEqual(count(paths.database, "SELECT COUNT(*) AS n FROM mail"), 2)
      })
  )

  it.live(
    "a channel that shows turns live shows each outcome once",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const tester = yield* stack.quietSandbox(profileWith())
        const bob = yield* stack.sandbox(
          profileWith({ ...slack, notifySlackTranscriptEnabled: true }, {
            email: { onReceive: "turn", allowedSenders: [tester.id] }
          })
        )
        const paths = statePaths(stack.state)
        const { directory } = paths.sandbox(tester.id)
        const command = ["--to", bob.row.id, "--subject", "job", "--wait-reply", "300"]
        for (const work of [bashScript("printf 'all %s' fine"), "script:error:401"]) {
          assert.strictEqual((yield* mailProgram(directory, "km-send", command, work)).exit, 0)
        }
        const shown = Effect.map(
          Effect.orDie(stack.workspace.messages(bob.channel)),
          (views) =>
            views.flatMap(({ message, replies }) => [message, ...replies.map((reply) => reply.message)])
              .map(({ text }) => String(text)).filter((text) => /all fine|Failed\./.test(text))
        )
        // The mail is sent before the channel is shown an outcome; whose record is written posts no more.
        const records = `SELECT COUNT(*) AS n FROM turn_records WHERE sandbox = '${bob.row.id}'`
        yield* untilReal("both turns are over", Effect.sync(() => count(paths.database, records) === 2))
        const both = yield* untilReal("both are shown", Effect.map(shown, (texts) => texts.length >= 2 && texts))
        assert.lengthOf(both, 2, both.join("\n---\n"))
        assert.match(both[0] ?? "", /all fine/)
        assert.match(both[1] ?? "", /Failed\./)
        // Each below the line that announced its mail.
        const views = yield* Effect.orDie(stack.workspace.messages(bob.channel))
        const announced = views.filter(({ message }) => String(message["text"]).includes("Mail from"))
        assert.deepStrictEqual(
          announced.map(({ replies }) =>
            replies.filter(({ message }) => both.includes(String(message["text"]))).length
          ),
          [1, 1]
        )
      })
  )
})
