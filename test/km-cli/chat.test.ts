/** `km chat` in process over a real local workspace, with a bot that answers as the test says. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Path } from "effect"
import { credentialsOf, writeCredentials } from "../../km-cli/local/workspace/Credentials.ts"
import { OneTerminal } from "../../km-cli/Output.ts"
import * as UpFile from "../../km-cli/up/UpFile.ts"
import {
  Alias,
  ChannelId,
  GroupId,
  InstallName,
  MessageTs,
  SandboxId,
  slackTurnKey
} from "../../runtime/domain/sandbox/Ids.ts"
import { TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import type { TurnResult } from "../../runtime/domain/turn/Turn.ts"
import { World } from "../support/ControlWorld.ts"
import { profileWith } from "../support/profiles.ts"
import { TestKm } from "../support/TestKm.ts"
import { slackClient, testWorkspace, userIdOf } from "../support/Workspace.ts"

const id = SandboxId.make("sb-1a2b3c4d")
const profile = profileWith({ notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true })

interface Ending {
  /** None for what is answered by a word and is no turn. */
  readonly mark: "white_check_mark" | "x" | "octagonal_sign" | "no_entry_sign" | undefined
  readonly result: TurnResult
  readonly json?: boolean
  readonly terminal?: boolean
  readonly text?: string
  /** Only messages that mention the bot are answered; the text's `BOT` stands for its id. */
  readonly mentionOnly?: boolean
  readonly thread?: string
  /** Of the thread, before. */
  readonly engaged?: boolean
}

/** One message, answered "done" and marked; `result` is what the ledger says of the turn. */
const chatted = (
  { engaged, json = false, mark, mentionOnly = false, result, terminal = false, text = "hello", thread }: Ending
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const root = yield* fs.makeTempDirectoryScoped()
    const workspace = yield* testWorkspace()
    const bot = slackClient(workspace, workspace.botToken)
    const made = yield* Effect.promise(() => bot.conversations.create({ name: "sb-demo" }))
    const channel = ChannelId.make(made.channel?.id ?? "")
    yield* fs.makeDirectory(path.join(root, "run"))
    const credentialsFile = path.join(root, "run", "workspace.json")
    yield* writeCredentials(credentialsFile, credentialsOf(workspace))
    yield* UpFile.write(path.join(root, "run"), {
      version: 1,
      supervisor: UpFile.nameOf(process.pid),
      children: [],
      bridgeUrl: "http://127.0.0.1:9",
      credentialsFile,
      modelScripted: true,
      ready: true,
      startedAt: 0
    })
    const world = new World()
    world.rows.set(id, {
      id,
      install: InstallName.make("km"),
      alias: Alias.make("demo"),
      profile: mentionOnly ? profileWith({ ...profile.spec.cli, notifySlackInboundMentionOnly: true }) : profile,
      desired: "running",
      status: "running",
      unconfined: false,
      createdAt: 0,
      generation: "1",
      channel,
      inventory: []
    })
    const team = TeamId.make(workspace.teamId)
    const km = new TestKm(world, { teamId: team })
    km.env = { HOME: "/nowhere", KM_STATE: root }
    const ada = userIdOf(workspace, "ada")
    yield* workspace.waitFor(({ data, kind }) => kind === "message" && Object(data["message"]).user === ada).pipe(
      Effect.flatMap((change) =>
        Effect.promise(async () => {
          const ts = MessageTs.make(change.ts ?? "")
          const key = slackTurnKey(team, channel, ts)
          const request = {
            key,
            group: GroupId.make("g"),
            origin: { kind: "operator", label: "test" },
            text: "",
            files: [],
            acceptedAt: 0
          } as const
          km.knows(id, {
            key,
            request,
            state: "posted",
            result,
            attempt: 1,
            resumed: false,
            shown: [],
            receivedAt: Math.floor(Number(ts) * 1_000)
          })
          await bot.chat.postMessage({ channel, thread_ts: ts, text: "done" })
          if (mark !== undefined) await bot.reactions.add({ channel, timestamp: ts, name: mark })
        })
      ),
      Effect.forkScoped({ startImmediately: true })
    )
    if (thread !== undefined && engaged === true) {
      const threadTs = MessageTs.make(thread)
      world.threads.rows.set("engaged", { channel, threadTs, sandbox: id, createdAt: 0, lastTurnAt: Date.now() })
    }
    const said = text.replace("BOT", workspace.botUserId)
    const flags = [...thread === undefined ? [] : ["--thread", thread], ...json ? ["--json"] : []]
    const ran = yield* km.run("chat", "demo", said, ...flags).pipe(
      Effect.provideService(OneTerminal, terminal)
    )
    return { ...ran, talk: ran.err.join("\n") }
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("km chat", () => {
  it.live("prints the answer as data, and on a terminal, where the thread has shown it, once", () =>
    Effect.gen(function*() {
      const piped = yield* chatted({ mark: "white_check_mark", result: "answered" })
      assert.deepStrictEqual([piped.exit, piped.out], [0, ["done"]])
      const seen = yield* chatted({ mark: "white_check_mark", result: "answered", terminal: true })
      assert.deepStrictEqual([seen.exit, seen.out], [0, []])
      assert.strictEqual(seen.talk.match(/done/g)?.length, 1)
      const json = yield* chatted({ mark: "white_check_mark", result: "answered", terminal: true, json: true })
      assert.deepInclude(JSON.parse(json.out.join("\n")), { ok: true, outcome: "answered", answer: "done" })
    }))

  it.live("ends as the turn did: 1 for a failed, cancelled or parked one, 7 for one that timed out", () =>
    Effect.gen(function*() {
      const cases = [
        ["x", "failed", 1, "KM-CLI-023"],
        ["octagonal_sign", "cancelled", 1, "KM-CLI-023"],
        ["x", "parked", 1, "KM-CLI-023"],
        ["x", "expired", 7, "KM-CLI-016"]
      ] as const
      for (const [mark, result, exit, code] of cases) {
        const ran = yield* chatted({ mark, result, json: true })
        assert.deepStrictEqual([result, ran.exit], [result, exit])
        assert.include(ran.talk, `error ${code}`)
        assert.deepInclude(JSON.parse(ran.out.join("\n")), { ok: false, outcome: result })
      }
    }))

  it.live("is over with the reply to a word, and at once with what is for people only", () =>
    Effect.gen(function*() {
      for (const text of ["!help", "!status", "!new", "!model", "!hepl", "!stop the tests are red"]) {
        const word = yield* chatted({ mark: undefined, result: "answered", text })
        assert.deepStrictEqual([text, word.exit, word.out], [text, 0, ["done"]])
      }
      // The word itself is no turn, so that no record of it comes.
      for (const text of ["!stop", "\u200b!stop"]) {
        const stop = yield* chatted({ mark: "octagonal_sign", result: "failed", text })
        assert.strictEqual(stop.exit, 0, stop.talk)
      }
      const json = yield* chatted({ mark: undefined, result: "answered", text: "!help", json: true })
      assert.deepInclude(JSON.parse(json.out.join("\n")), { ok: true })
      const aside = yield* chatted({ mark: undefined, result: "answered", text: "!aside lunch?" })
      assert.deepStrictEqual([aside.exit, aside.out], [0, []])
    }))

  it.effect("refuses what nobody would see", () =>
    Effect.gen(function*() {
      for (const text of ["", " ", "\u200b\u2060", "\u001b[31m"]) {
        const { err, exit } = yield* new TestKm().run("chat", "demo", text)
        assert.deepStrictEqual([exit, err[0]], [2, "error KM-CLI-001: the message is empty"])
      }
    }))

  it.live("says at once where nobody would answer, with the words that would be heard", () =>
    Effect.gen(function*() {
      const only = { mark: "white_check_mark", result: "answered", mentionOnly: true } as const
      const thread = "1700000000.000001"
      for (const place of [{}, { thread }]) {
        const unheard = yield* chatted({ ...only, ...place, text: "it's me" })
        assert.strictEqual(unheard.exit, 1)
        assert.include(unheard.talk, "error KM-CLI-055")
        assert.match(unheard.talk, /km chat demo '<@U[A-Z0-9]+> it'\\''s me'/)
      }
      const heard = yield* chatted({ ...only, text: "<@BOT> hello" })
      assert.deepStrictEqual([heard.exit, heard.out], [0, ["done"]])
      const engaged = yield* chatted({ ...only, thread, engaged: true })
      assert.notInclude(engaged.talk, "KM-CLI-055")
      const word = yield* chatted({ ...only, mark: undefined, text: "!help" })
      assert.strictEqual(word.exit, 0)
    }))

  it.live("is over when the message is refused, and says so", () =>
    Effect.gen(function*() {
      const ran = yield* chatted({ mark: "no_entry_sign", result: "answered", json: true })
      assert.strictEqual(ran.exit, 1)
      assert.include(ran.talk, "error KM-CLI-023: the message was refused")
      assert.deepInclude(JSON.parse(ran.out.join("\n")), { ok: false, outcome: "refused" })
    }))
})
