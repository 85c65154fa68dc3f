/** Mail that starts work: an agent of the real CLI asks by mail, the other's runtime starts its agent and mails the answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { statePaths } from "../../runtime/adapters/embedded/StateDirectory.ts"
import { mailProgram } from "../support/mailPrograms.ts"
import { profileWith } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, startStack } from "../support/Stack.ts"

const slack = { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true }
const worker = profileWith(slack, { email: { onReceive: "turn", allowedSenders: ["install"] } })

const Mail = Schema.Struct({
  status: Schema.String,
  sender: Schema.String,
  subject: Schema.String,
  inReplyTo: Schema.NullOr(Schema.String),
  references: Schema.Array(Schema.String),
  hop: Schema.Int,
  encrypted: Schema.Boolean,
  body: Schema.String
})
const mails = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Array(Mail)))

describe("mail that starts work, end to end", () => {
  it.live(
    "one mail is one turn, and its answer comes back in the thread",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const ada = yield* stack.sandbox(profileWith(slack))
        const bob = yield* stack.sandbox(worker)
        const paths = statePaths(stack.state)
        const work = bashScript(
          "echo \"the tests pass\" && km-recv --json --id \"$KM_MAIL_ID\" | grep '\"body\"' | wc -l"
        )
        const asked = yield* ada.say(
          bashScript(`echo ${work} | km-send --to ${bob.row.id} --subject 'job 17' --encrypt`)
        )
        const sent = yield* ada.untilReaction(asked, "white_check_mark")
        const local = /[\w-]{22}(?=@km\.invalid)/.exec(botTexts(sent, stack.workspace.botUserId).join("\n"))?.[0] ?? ""
        const id = `<${local}@km.invalid>`
        const recv = mailProgram(paths.sandbox(ada.row.id).directory, "km-recv", ["--json", "--wait", "60"])
        const [answer, ...more] = mails((yield* recv).out.toString())
        assert.deepStrictEqual(more, [])
        assert.deepInclude(answer, {
          status: "verified",
          sender: bob.row.id,
          subject: "Re: job 17",
          inReplyTo: id,
          references: [id],
          hop: 1,
          encrypted: true
        })
        assert.match(answer?.body ?? "", /the tests pass\s+1\b/)
        // The channel of the worker shows it too.
        yield* stack.workspace.waitFor((change) => JSON.stringify(change).includes("the tests pass"), 0)
        const seen = (yield* stack.model.requests).find(({ body }) => body.includes("[km] Mail from the agent of"))
        assert.include(
          seen?.body ?? "",
          `[km] Mail from the agent of ${ada.row.id} (${ada.row.id}\uFF20km.invalid), verified`
        )
        assert.include(seen?.body ?? "", "Subject: job 17")
      }),
    90_000
  )
})
