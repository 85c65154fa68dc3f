/** New secrets beside old ones: `km slack rotate-token` and `rotate-signing-secret`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted } from "effect"
import { SlackSecrets } from "../../../bridge/slack/SlackSecrets.ts"
import { requiredScopes } from "../../../runtime/domain/slack/SlackNeeds.ts"
import { Secrets } from "../../../runtime/ports/Secrets.ts"
import { bridgeOver, furnish, listen, room, say, sendEvent, waiting } from "../../bridge/world.ts"
import { slackClient, tokenOf, userIdOf } from "../../support/Workspace.ts"
import { connected, endedWith } from "./connected.ts"

const secretOf = (letter: string): string => letter.repeat(32)

describe("km slack rotate-token", () => {
  it.live("stores a token that was proven, and the bot is back in the channels it can enter", () =>
    Effect.gen(function*() {
      const { km, shared, workspace, world } = yield* connected()
      yield* workspace.app.reinstall(requiredScopes)
      world.secrets.set("slack/bot-token", "xoxb-of-before-it-was-installed-again")
      const { err, exit, out } = yield* km.run("slack", "rotate-token", "--bot-token", workspace.botToken)
      assert.strictEqual(exit, 0, err.join("\n"))
      assert.strictEqual(world.secrets.get("slack/bot-token"), workspace.botToken)
      assert.include(out.join("\n"), "the bot is in 1 of its 1 channels")
      assert.notInclude([...out, ...err].join("\n"), workspace.botToken)
      const bot = slackClient(workspace, workspace.botToken)
      const info = yield* Effect.promise(() => bot.conversations.info({ channel: shared }))
      assert.isTrue(info.channel?.is_member)
    }))

  it.live("stores nothing that is not this app's bot token", () =>
    Effect.gen(function*() {
      const { km, workspace, world } = yield* connected()
      const tries: ReadonlyArray<readonly [string, string]> = [
        ["KM-SLK-101", workspace.appToken],
        ["KM-SLK-101", tokenOf(workspace, "ada")],
        ["KM-SLK-101", `${workspace.botToken}\nxoxb-another-line`],
        ["KM-SLK-101", ""],
        ["KM-SLK-104", "xoxb-0000000000-never-issued"]
      ]
      for (const [code, token] of tries) {
        const ran = yield* km.run("slack", "rotate-token", "--bot-token", token)
        endedWith(code, ran)
        if (token !== "") assert.notInclude([...ran.err, ...ran.out].join("\n"), token)
        assert.strictEqual(world.secrets.get("slack/bot-token"), workspace.botToken)
      }
      endedWith("KM-SLK-122", yield* km.run("slack", "rotate-token"))
      const foreign = yield* connected({}, { appId: "A0OTHER0001" })
      foreign.world.secrets.set("slack/bot-token", "xoxb-of-the-other-app")
      endedWith("KM-SLK-106", yield* foreign.km.run("slack", "rotate-token", "--bot-token", foreign.workspace.botToken))
      assert.strictEqual(foreign.world.secrets.get("slack/bot-token"), "xoxb-of-the-other-app")
    }))

  it.live("--app replaces the app-level token and leaves the bot's", () =>
    Effect.gen(function*() {
      const { km, workspace, world } = yield* connected({ sockets: { enabled: true } }, { slackTransport: "socket" })
      world.secrets.set("slack/app-token", "xapp-1-A0-1-of-before")
      for (
        const [code, token] of [
          ["KM-SLK-102", workspace.botToken],
          ["KM-SLK-102", "xapp"],
          ["KM-SLK-112", `xapp-1-${workspace.appId}-1-never0issued`],
          ["KM-SLK-106", workspace.appToken.replace(workspace.appId, "A0OTHER0001")]
        ] as const
      ) {
        endedWith(code, yield* km.run("slack", "rotate-token", "--app", "--app-token", token))
        assert.strictEqual(world.secrets.get("slack/app-token"), "xapp-1-A0-1-of-before")
      }
      const { err, exit } = yield* km.run("slack", "rotate-token", "--app", "--app-token", workspace.appToken)
      assert.strictEqual(exit, 0, err.join("\n"))
      assert.strictEqual(world.secrets.get("slack/app-token"), workspace.appToken)
      assert.strictEqual(world.secrets.get("slack/bot-token"), workspace.botToken)
    }))
})

describe("km slack rotate-signing-secret", () => {
  it.live("keeps the earlier secret until --finish, also when it is repeated", () =>
    Effect.gen(function*() {
      const { km, workspace, world } = yield* connected()
      const fresh = secretOf("a")
      for (const _ of [1, 2]) {
        const { err, exit } = yield* km.run("slack", "rotate-signing-secret", "--signing-secret", fresh)
        assert.strictEqual(exit, 0, err.join("\n"))
        assert.strictEqual(world.secrets.get("slack/signing-secret"), fresh)
        assert.strictEqual(world.secrets.get("slack/signing-secret-previous"), workspace.signingSecret)
      }
      for (const _ of [1, 2]) {
        assert.strictEqual((yield* km.run("slack", "rotate-signing-secret", "--finish")).exit, 0)
        assert.strictEqual(world.secrets.get("slack/signing-secret"), fresh)
        assert.isFalse(world.secrets.has("slack/signing-secret-previous"))
      }
    }))

  it.live("stores no other thing, and nothing in an install by Socket Mode or a local one", () =>
    Effect.gen(function*() {
      const { km, workspace, world } = yield* connected()
      for (const text of [workspace.botToken, secretOf("A"), "abc", "", `${secretOf("a")}\n${secretOf("b")}`]) {
        endedWith("KM-SLK-103", yield* km.run("slack", "rotate-signing-secret", "--signing-secret", text))
      }
      assert.strictEqual(world.secrets.get("slack/signing-secret"), workspace.signingSecret)
      assert.isFalse(world.secrets.has("slack/signing-secret-previous"))
      const socket = yield* connected({}, { slackTransport: "socket" })
      endedWith("KM-SLK-139", yield* socket.km.run("slack", "rotate-signing-secret", "--signing-secret", secretOf("a")))
      const local = yield* connected({}, { local: true })
      endedWith("KM-SLK-128", yield* local.km.run("slack", "rotate-signing-secret", "--signing-secret", secretOf("a")))
      endedWith("KM-SLK-128", yield* local.km.run("slack", "rotate-signing-secret", "--finish"))
    }))

  it.live("under live events refuses none that either secret signed, and from --finish on the earlier one's", () =>
    Effect.gen(function*() {
      const { km, world } = yield* connected()
      const { ada, channel, workspace } = yield* room()
      const earlier = workspace.signingSecret
      world.secrets.set("slack/signing-secret", earlier)
      const fresh = secretOf("b")
      yield* Effect.gen(function*() {
        yield* furnish(workspace, channel)
        yield* listen(workspace)
        const secrets = yield* Secrets
        /** The command's own writes, as a bridge on the same machine finds them. */
        const rotated = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
          const { err, exit } = yield* km.run("slack", "rotate-signing-secret", ...args)
          assert.strictEqual(exit, 0, err.join("\n"))
          for (const name of ["slack/signing-secret-previous", "slack/signing-secret"]) {
            const value = world.secrets.get(name)
            yield* value === undefined ? secrets.delete(name) : secrets.put(name, Redacted.make(value))
          }
        })
        let number = 0
        const signedBy = (secret: string) =>
          Effect.map(
            sendEvent(
              secret,
              JSON.stringify({
                type: "event_callback",
                team_id: workspace.teamId,
                api_app_id: workspace.appId,
                event_id: `Ev${++number}`,
                event: {
                  type: "message",
                  channel,
                  user: userIdOf(workspace, "ada"),
                  text: "hello",
                  ts: `1700000000.${String(number).padStart(6, "0")}`
                }
              })
            ),
            ({ status }) => status
          )
        assert.strictEqual(yield* signedBy(earlier), 200)
        yield* rotated("--signing-secret", fresh)
        const answers = yield* Effect.forEach(Array(20).keys(), (n) => signedBy(n % 2 === 0 ? fresh : earlier), {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual(answers, Array.from({ length: 20 }, () => 200))
        yield* say(ada, channel, "by Slack itself")
        yield* workspace.eventsDelivered
        assert.lengthOf(yield* waiting, 22)
        yield* rotated("--finish")
        yield* (yield* SlackSecrets).forget
        assert.strictEqual(yield* signedBy(earlier), 401)
        assert.strictEqual(yield* signedBy(fresh), 200)
      }).pipe(Effect.provide(bridgeOver(workspace)))
    }))
})
