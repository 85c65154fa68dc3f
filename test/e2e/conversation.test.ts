/**
 * What people do in a conversation, seen in the workspace: they go on, change their mind, stop the agent, attach files,
 * and Slack tells them twice or fails. One stack of real processes; every test has a sandbox of its own.
 */
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { TurnRecord } from "../../runtime/domain/turn/TurnRecord.ts"
import { ledgerOf } from "../support/ledgerOf.ts"
import { profileWith, slackProfile } from "../support/profiles.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { botTexts, reactionsOf, type Stack, type StackSandbox, startStack } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"
import { slackClient, tokenOf } from "../support/Workspace.ts"

const decodeRecord = Schema.decodeUnknownSync(Schema.fromJsonString(TurnRecord))

class Running extends Context.Service<Running, Stack>()("km/test/e2e/Running") {}

/** No live message: what the bot writes into a thread is its answers and notes, each one post. */
const quietProfile = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true
})

const inWorkspace = (stack: Stack, sandbox: StackSandbox, name: string): string =>
  path.join(stack.state, "sandboxes", sandbox.row.id, "workspace", name)

/** Says by the file `begun-{name}` that it runs, and waits for `gate-{name}`. */
const gated = (name: string): string =>
  bashScript(`touch begun-${name}; while [ ! -e gate-${name} ]; do sleep 0.1; done; echo answer-${name}`)

const untilBegun = (stack: Stack, sandbox: StackSandbox, name: string) =>
  untilReal(`${name} runs`, Effect.sync(() => fs.existsSync(inWorkspace(stack, sandbox, `begun-${name}`))))

const openGate = (stack: Stack, sandbox: StackSandbox, name: string) =>
  Effect.sync(() => fs.writeFileSync(inWorkspace(stack, sandbox, `gate-${name}`), ""))

/** A message that is stored and must wait, because its thread is busy. */
const sayWaiting = Effect.fnUntraced(function*(sandbox: StackSandbox, text: string, threadTs: string) {
  const ts = yield* sandbox.say(text, threadTs)
  yield* sandbox.untilReaction(ts, "eyes")
  return ts
})

/** How many requests to the model held these words. */
const askedWith = (stack: Stack, words: string) =>
  Effect.map(stack.model.requests, (requests) => requests.filter(({ body }) => body.includes(words)).length)

/** The oldest turn that is over, as `km status` reads it. */
const recordedIn = (stack: Stack, sandbox: StackSandbox) => {
  const engine = new DatabaseSync(path.join(stack.state, "engine.db"), { readOnly: true })
  const query = "SELECT record FROM turn_records WHERE sandbox = ? ORDER BY received_at LIMIT 1"
  const row = engine.prepare(query).get(sandbox.row.id)
  engine.close()
  return decodeRecord(row?.["record"])
}

const saidBy = (stack: Stack, sandbox: StackSandbox, ts: string) =>
  Effect.map(sandbox.thread(ts), (view) => botTexts(view, stack.workspace.botUserId))

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !fs.readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ")
  } catch {
    return false
  }
}

// Side by side: most of each test is waiting, and what they share they share in use, too.
describe.concurrent("a conversation", () => {
  layer(Layer.effect(Running, startStack()), { excludeTestServices: true, timeout: "10 minutes" })(
    (it) => {
      it.effect("goes on: the second message of a thread resumes its session", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(slackProfile)
          const first = yield* sandbox.say("script:text the word is heliotrope")
          yield* sandbox.untilReaction(first, "white_check_mark")
          const second = yield* sandbox.say("script:text and what was the word", first)
          yield* sandbox.untilReaction(second, "white_check_mark")
          const [newer, older] = yield* ledgerOf(stack.state, sandbox.row.id)
          assert.isDefined(newer?.session)
          assert.strictEqual(newer?.session, older?.session)
          const requests = yield* stack.model.requests
          assert.isTrue(requests.some(({ body }) => body.includes("heliotrope") && body.includes("what was the word")))
        }))

      it.effect("runs two threads side by side", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const left = yield* sandbox.say(gated("left"))
          const right = yield* sandbox.say(gated("right"))
          // Neither gate is open, so the second can only begin beside the first.
          yield* untilBegun(stack, sandbox, "left")
          yield* untilBegun(stack, sandbox, "right")
          yield* openGate(stack, sandbox, "left")
          yield* openGate(stack, sandbox, "right")
          for (const [ts, name] of [[left, "left"], [right, "right"]] as const) {
            yield* sandbox.untilReaction(ts, "white_check_mark")
            const texts = yield* saidBy(stack, sandbox, ts)
            assert.lengthOf(texts, 1)
            assert.include(texts[0], `answer-${name}`)
          }
        }))

      it.effect("shows the answer and the mark once the bot, removed during the turn, is invited again", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
          const { channel } = sandbox
          const ts = yield* sandbox.say(gated("away"))
          yield* sandbox.untilReaction(ts, "hourglass_flowing_sand")
          yield* untilBegun(stack, sandbox, "away")
          yield* Effect.promise(() => ada.conversations.kick({ channel, user: stack.workspace.botUserId }))
          yield* openGate(stack, sandbox, "away")
          yield* untilReal(
            "the turn is settled",
            Effect.map(ledgerOf(stack.state, sandbox.row.id), ([row]) => row?.state === "settled")
          )
          const [row] = yield* ledgerOf(stack.state, sandbox.row.id)
          assert.strictEqual(row?.result, "undeliverable")
          assert.include(reactionsOf(yield* sandbox.thread(ts)), "hourglass_flowing_sand")
          // Nobody hears of it but by the history.
          const missed = yield* sandbox.say("script:text nobody was here")
          yield* Effect.promise(() => ada.conversations.invite({ channel, users: stack.workspace.botUserId }))
          yield* sandbox.untilReaction(ts, "white_check_mark")
          yield* sandbox.untilReaction(missed, "white_check_mark")
          yield* untilReal(
            "the hourglass is gone",
            Effect.map(sandbox.thread(ts), (view) => !reactionsOf(view).includes("hourglass_flowing_sand"))
          )
          const texts = yield* saidBy(stack, sandbox, ts)
          assert.lengthOf(texts, 1)
          assert.include(texts[0], "answer-away")
          const shown = recordedIn(stack, sandbox)
          assert.strictEqual(shown.result, "answered")
          assert.isUndefined(shown.replay)
        }))

      it.effect("takes an edit of a waiting message, and a deletion withdraws one", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
          const channel = sandbox.channel
          const root = yield* sandbox.say(gated("root"))
          yield* untilBegun(stack, sandbox, "root")
          const edited = yield* sayWaiting(sandbox, "script:text paint it crimson", root)
          const deleted = yield* sayWaiting(sandbox, "script:text delete everything", root)
          yield* Effect.promise(() => ada.chat.update({ channel, ts: edited, text: "script:text paint it turquoise" }))
          yield* Effect.promise(() => ada.chat.delete({ channel, ts: deleted }))
          yield* stack.workspace.eventsDelivered
          // In order of the thread: when this one is answered, the deleted one would have been.
          const last = yield* sayWaiting(sandbox, "script:text the last", root)
          yield* openGate(stack, sandbox, "root")
          yield* sandbox.untilReaction(last, "white_check_mark")
          const thread = (yield* saidBy(stack, sandbox, root)).join("\n")
          assert.include(thread, "paint it turquoise")
          assert.notInclude(thread, "paint it crimson")
          assert.strictEqual(yield* askedWith(stack, "paint it crimson"), 0)
          assert.strictEqual(yield* askedWith(stack, "delete everything"), 0)
          assert.lengthOf(yield* ledgerOf(stack.state, sandbox.row.id), 3)
        }))

      it.effect("ends by !stop in the thread, and by 🛑 of the author", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
          const byWord = yield* sandbox.say(gated("word"))
          const byMark = yield* sandbox.say(gated("mark"))
          yield* untilBegun(stack, sandbox, "word")
          yield* untilBegun(stack, sandbox, "mark")
          const pids = (yield* ledgerOf(stack.state, sandbox.row.id)).flatMap(({ process }) =>
            process === undefined ? [] : [process.pid]
          )
          assert.lengthOf(pids, 2)
          yield* sandbox.say("!stop", byWord)
          yield* sandbox.untilReaction(byWord, "octagonal_sign")
          assert.lengthOf((yield* ledgerOf(stack.state, sandbox.row.id)).filter(({ state }) => state === "running"), 1)
          yield* Effect.promise(() =>
            ada.reactions.add({ channel: sandbox.channel, timestamp: byMark, name: "octagonal_sign" })
          )
          for (const ts of [byWord, byMark]) {
            yield* untilReal(
              "the stop is said",
              Effect.map(saidBy(stack, sandbox, ts), (texts) => texts.some((text) => text.includes("Stopped")))
            )
            assert.lengthOf(yield* saidBy(stack, sandbox, ts), 1)
            assert.notInclude(reactionsOf(yield* sandbox.thread(ts)), "white_check_mark")
          }
          yield* untilReal("both agents are gone", Effect.sync(() => !pids.some(alive)))
          // The thread is not dead: a later message is answered in it.
          const later = yield* sandbox.say("script:text go on", byWord)
          yield* sandbox.untilReaction(later, "white_check_mark")
        }))

      it.effect("takes a message with a file and names the file to the agent", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const ada = slackClient(stack.workspace, tokenOf(stack.workspace, "ada"))
          yield* Effect.promise(() =>
            ada.filesUploadV2({
              channel_id: sandbox.channel,
              initial_comment: "script:text look at the plan",
              file: Buffer.from("step one"),
              filename: "battle-plan.txt"
            })
          )
          const shared = yield* untilReal(
            "the message with the file is there",
            Effect.map(
              Effect.orDie(stack.workspace.messages(sandbox.channel)),
              (messages) => messages.find(({ message }) => String(message["text"]).includes("look at the plan"))
            )
          )
          const done = yield* sandbox.untilReaction(shared.ts, "white_check_mark")
          assert.lengthOf(botTexts(done, stack.workspace.botUserId), 1)
          assert.isAbove(yield* askedWith(stack, "battle-plan.txt"), 0)
        }))

      it.effect("is one turn when Slack delivers the event four times at once", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          yield* stack.workspace.faults.add({
            event: "message",
            channel: sandbox.channel,
            fault: { kind: "duplicate", copies: 4 }
          })
          const ts = yield* sandbox.say("script:text only once please")
          yield* stack.workspace.eventsDelivered
          yield* sandbox.untilReaction(ts, "white_check_mark")
          const next = yield* sandbox.say("script:text and the next", ts)
          yield* sandbox.untilReaction(next, "white_check_mark")
          assert.lengthOf(yield* saidBy(stack, sandbox, ts), 2)
          assert.lengthOf(yield* ledgerOf(stack.state, sandbox.row.id), 2)
          const fault = (yield* stack.workspace.faults.list).find(({ rule }) => rule.channel === sandbox.channel)
          assert.strictEqual(fault?.hits, 1)
        }))

      it.effect(
        "gets exactly one answer when Slack says 429, then 500, then hangs after taking it",
        () =>
          Effect.gen(function*() {
            const stack = yield* Running
            const sandbox = yield* stack.sandbox(quietProfile)
            const { channel } = sandbox
            const method = "chat.postMessage"
            const ts = yield* sandbox.say(gated("hard"))
            yield* untilBegun(stack, sandbox, "hard")
            yield* stack.workspace.faults.add({ method, channel, fault: { kind: "rate-limit", retryAfterSeconds: 1 } })
            yield* stack.workspace.faults.add({ method, channel, fault: { kind: "server-error" } })
            yield* stack.workspace.faults.add({ method, channel, fault: { kind: "hang-after" } })
            yield* openGate(stack, sandbox, "hard")
            yield* sandbox.untilReaction(ts, "white_check_mark")
            const texts = yield* saidBy(stack, sandbox, ts)
            assert.lengthOf(texts, 1, texts.join("\n---\n"))
            assert.include(texts[0], "answer-hard")
            const faults = (yield* stack.workspace.faults.list).filter(({ rule }) => rule.channel === channel)
            assert.deepStrictEqual(faults.map(({ hits }) => hits), [1, 1, 1])
          })
      )

      it.effect("begins afresh with one line of notice when the session is lost", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(slackProfile)
          const first = yield* sandbox.say("script:text remember the heron")
          yield* sandbox.untilReaction(first, "white_check_mark")
          const session = (yield* ledgerOf(stack.state, sandbox.row.id))[0]?.session
          const projects = path.join(stack.state, "sandboxes", sandbox.row.id, "home", ".claude", "projects")
          const files = fs.readdirSync(projects, { recursive: true, encoding: "utf8" })
            .filter((name) => name.endsWith(`${session}.jsonl`))
          assert.lengthOf(files, 1)
          for (const file of files) fs.rmSync(path.join(projects, file))
          const second = yield* sandbox.say("script:text where were we", first)
          yield* sandbox.untilReaction(second, "white_check_mark")
          const texts = yield* saidBy(stack, sandbox, first)
          assert.lengthOf(
            texts.filter((text) => text.includes("this is a fresh session")),
            1,
            texts.join("\n---\n")
          )
          assert.isTrue(texts.some((text) => text.includes("where were we")))
          const row = (yield* ledgerOf(stack.state, sandbox.row.id))[0]
          assert.strictEqual(row?.result, "answered")
          assert.notStrictEqual(row?.session, session)
        }))

      it.effect("is refused to an outsider, with one 🚫", () =>
        Effect.gen(function*() {
          const stack = yield* Running
          const sandbox = yield* stack.sandbox(quietProfile)
          const { channel } = sandbox
          const bot = slackClient(stack.workspace, stack.workspace.botToken)
          const eve = slackClient(stack.workspace, tokenOf(stack.workspace, "eve"))
          const invite = yield* Effect.promise(() =>
            bot.conversations.inviteShared({ channel, emails: ["eve@elsewhere.test"] })
          )
          yield* Effect.promise(() =>
            eve.conversations.acceptSharedInvite({ channel_name: "shared", invite_id: invite.invite_id ?? "" })
          )
          yield* stack.workspace.faults.add({ event: "message", channel, fault: { kind: "duplicate", copies: 4 } })
          const posted = yield* Effect.promise(() => eve.chat.postMessage({ channel, text: "script:text let me in" }))
          const ts = String(posted.ts)
          const refused = yield* sandbox.untilReaction(ts, "no_entry_sign")
          yield* stack.workspace.eventsDelivered
          assert.deepStrictEqual(reactionsOf(refused), ["no_entry_sign"])
          // A later message of the team is answered; hers never reaches an agent.
          const mine = yield* sandbox.say("script:text hello")
          yield* sandbox.untilReaction(mine, "white_check_mark")
          assert.strictEqual(yield* askedWith(stack, "let me in"), 0)
          // One note, however often the event came, and no answer.
          const notes = yield* saidBy(stack, sandbox, ts)
          assert.lengthOf(notes, 1)
          assert.match(notes[0] ?? "", /^🚫 .*KM-SLK-0\d\d/s)
          assert.lengthOf(yield* ledgerOf(stack.state, sandbox.row.id), 1)
        }))
    }
  )
})
