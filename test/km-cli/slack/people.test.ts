/** Who and what a sandbox works with in Slack: `km slack invite`, `allow`, `adopt`, `threads`, and what `status` says of people. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { ChannelId, MessageTs, SandboxId, SessionId, UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { SenderId } from "../../../runtime/domain/sandbox/Ids.ts"
import type { Guest } from "../../../runtime/domain/slack/Guest.ts"
import { changeGuest, guest, judge } from "../../../runtime/kernel/sandboxes/Guests.ts"
import { Sandboxes } from "../../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../../runtime/ports/Threads.ts"
import { profileWith } from "../../support/profiles.ts"
import { slackClient, tokenOf, userIdOf } from "../../support/Workspace.ts"
import { connected, demoRow, endedWith, sandbox } from "./connected.ts"

type Connected = Effect.Success<ReturnType<typeof connected>>

const stranger = UserId.make("U0EVE00001")
const address = "eve@elsewhere.test"

/** The checks of `km slack status` about people, by name; the bridge and all else is not what this is about. */
const peopleOf = ({ km }: Connected) =>
  Effect.map(km.run("slack", "status", "--json"), ({ out }) => {
    const { checks } = JSON.parse(out.join("\n")) as {
      readonly checks: ReadonlyArray<{ name: string; status: string; code?: string; next?: string; detail: string }>
    }
    return checks.filter(({ name }) => /^(guest|invitation) /.test(name))
  })

/** What the bridge would have noted. */
const noted = ({ world }: Connected, keeper: SenderId, changes: Partial<Guest>) =>
  changeGuest(keeper, stranger, (was) => ({ ...was, invite: "I1", invited: address, address, ...changes })).pipe(
    Effect.provide(world.layer())
  )

const inviting = (scene: Connected) =>
  scene.world.rows.set(
    sandbox,
    demoRow(scene.shared, { profile: profileWith({ notifySlackEnabled: true, notifySlackInviteEmails: [address] }) })
  )

describe("km slack invite", () => {
  it.live("a member joins at once; anybody else is invited by Slack Connect, and status says how it stands", () =>
    Effect.gen(function*() {
      const scene = yield* connected({ connect: { approvalRequired: true, anyoneMayAccept: true } })
      const { km, shared, workspace } = scene
      const member = yield* km.run("slack", "invite", "ada@lab.test", "--json")
      assert.strictEqual(member.exit, 0, member.err.join("\n"))
      assert.include(JSON.parse(member.out.join("")), { how: "member", channel: shared })
      assert.lengthOf(yield* peopleOf(scene), 0)

      const sent = yield* km.run("slack", "invite", ` ${address} `, "--json")
      assert.strictEqual(sent.exit, 0, sent.err.join("\n"))
      assert.include(JSON.parse(sent.out.join("")), { how: "connect", email: address })
      assert.deepInclude((yield* peopleOf(scene))[0], { name: `invitation ${address}`, code: "KM-SLK-125" })
      endedWith("KM-SLK-119", yield* km.run("slack", "invite", address))
      assert.lengthOf(yield* peopleOf(scene), 1)
      assert.strictEqual(workspace.people.size, 3)
    }))

  it.live("refuses what is no address, no channel, or another plan's", () =>
    Effect.gen(function*() {
      const { km } = yield* connected()
      for (const text of ["", "eve", "eve@", "a@b", "a b@c.test", "a@c.test,b@c.test", "a@c.test\u202e"]) {
        endedWith("KM-SLK-118", yield* km.run("slack", "invite", text))
      }
      for (const channel of ["general", "#general", "U0EVE00001", ""]) {
        endedWith("KM-CLI-001", yield* km.run("slack", "invite", address, "--channel", channel))
      }
      endedWith("KM-SLK-133", yield* km.run("slack", "invite", address, "--channel", "C0NOTTHERE1"))
      const free = yield* connected({ connect: { plan: "free" } })
      endedWith("KM-SLK-131", yield* free.km.run("slack", "invite", address))
      const bare = yield* connected({}, { slack: {} })
      endedWith("KM-SLK-134", yield* bare.km.run("slack", "invite", address))
      const local = yield* connected({}, { local: true })
      endedWith("KM-SLK-128", yield* local.km.run("slack", "invite", address))
    }))
})

/** The check of an invitation that was sent so long ago, when this was noted of it; another one beside it stays as it was. */
const judged = (
  name: string,
  code: string | undefined,
  status: string,
  note: (scene: Connected) => Effect.Effect<unknown, unknown>,
  age = 0
) =>
  it.live(name, () =>
    Effect.gen(function*() {
      const scene = yield* connected()
      const entry = { id: "I1", email: address, channel: scene.shared, sentAt: Date.now() - age }
      const second = { ...entry, id: "I2", email: "max@elsewhere.test", sentAt: Date.now() }
      const { km } = scene
      yield* Effect.orDie(note(scene))
      km.know({ slack: { invitations: [entry, second] } })
      const [first, other] = yield* peopleOf(scene)
      assert.strictEqual(first?.code, code, first?.detail)
      assert.strictEqual(first?.status, status)
      assert.match(first?.next ?? (code === undefined ? "km slack" : ""), /km slack/)
      assert.strictEqual(other?.code, "KM-SLK-125")
    }))

describe("km slack status, of invitations", () => {
  judged("sent", "KM-SLK-125", "warn", () => Effect.void)
  judged("expired", "KM-SLK-125", "error", () => Effect.void, 15 * 24 * 3_600_000)
  judged("accepted and complete", undefined, "ok", (scene) => noted(scene, "operator", { approval: "complete" }))
  judged("accepted in a sandbox's channel", undefined, "ok", (scene) => noted(scene, sandbox, { approval: "complete" }))
  judged("approval pending", "KM-SLK-142", "warn", (scene) => noted(scene, "operator", { approval: "pending" }))
  judged(
    "accepted by another address",
    "KM-SLK-141",
    "warn",
    (scene) => noted(scene, "operator", { approval: "complete", address: "mallory@elsewhere.test" })
  )
  judged(
    "declined after it was accepted",
    "KM-SLK-140",
    "error",
    (scene) => noted(scene, "operator", { approval: "declined" })
  )
  judged(
    "declined by who got it",
    "KM-SLK-140",
    "error",
    ({ world }) => judge("operator", "I1", false).pipe(Effect.provide(world.layer()))
  )
})

describe("km slack allow", () => {
  it.live("admits by the kernel's list, in the audit, and leaves the profile as it is", () =>
    Effect.gen(function*() {
      const scene = yield* connected()
      inviting(scene)
      const { km, workspace, world } = scene
      const eve = UserId.make(userIdOf(workspace, "eve"))
      yield* changeGuest(sandbox, eve, (was) => ({
        ...was,
        invite: "I1",
        invited: address,
        address: "mallory@elsewhere.test",
        approval: "complete"
      })).pipe(Effect.provide(world.layer()))
      const [waits] = yield* peopleOf(scene)
      assert.include(waits, { name: `guest ${eve} of demo`, status: "warn", code: "KM-SLK-141" })
      assert.strictEqual(waits?.next, `km slack allow demo ${eve}`)

      const before = world.rows.get(sandbox)
      for (const changed of [true, false]) {
        const { err, exit, out } = yield* km.run("slack", "allow", "demo", eve, "--json")
        assert.strictEqual(exit, 0, err.join("\n"))
        assert.include(JSON.parse(out.join("")), { sandbox, user: eve, changed, external: true })
      }
      assert.deepStrictEqual(world.rows.get(sandbox), before)
      assert.isTrue((yield* guest(sandbox, eve).pipe(Effect.provide(world.layer()))).confirmed)
      const acts = [...world.audit.chains.values()].flat().filter((line) => line.includes("slack.allow"))
      assert.lengthOf(acts, 1)
      assert.include(acts[0], eve)
      const [admitted] = yield* peopleOf(scene)
      assert.include(admitted, { status: "ok", detail: "admitted by an operator" })
    }))

  it.live("admits nobody where it cannot be written down, and nobody who is no person", () =>
    Effect.gen(function*() {
      const scene = yield* connected()
      const { km, workspace, world } = scene
      const eve = UserId.make(userIdOf(workspace, "eve"))
      world.auditBroken = true
      assert.notStrictEqual((yield* km.run("slack", "allow", "demo", eve)).exit, 0)
      assert.isFalse((yield* guest(sandbox, eve).pipe(Effect.provide(world.layer()))).confirmed)
      world.auditBroken = false
      for (const user of ["eve", "@eve", "", "C0CHANNEL1", `${eve} `, "u0eve00001"]) {
        endedWith("KM-CLI-001", yield* km.run("slack", "allow", "demo", user))
      }
      endedWith("KM-SLK-138", yield* km.run("slack", "allow", "demo", "U0NOBODY001"))
      endedWith("KM-SLK-138", yield* km.run("slack", "allow", "demo", workspace.botUserId))
      endedWith("KM-CLI-002", yield* km.run("slack", "allow", "nobody", eve))
      world.rows.set(sandbox, demoRow(scene.shared, { desired: "destroyed", status: "destroying" }))
      endedWith("KM-CLI-102", yield* km.run("slack", "allow", "demo", eve))
      assert.lengthOf([...world.facts.facts.values()], 0)
    }))
})

describe("km slack adopt", () => {
  it.live("takes a channel that a person made, for the next sandbox of an alias", () =>
    Effect.gen(function*() {
      const { bot, km, workspace, world } = yield* connected()
      const ada = slackClient(workspace, tokenOf(workspace, "ada"))
      const made = yield* Effect.promise(() => ada.conversations.create({ name: "builds" }))
      const id = ChannelId.make(made.channel?.id ?? "")
      for (const _ of [1, 2]) {
        const { err, exit } = yield* km.run("slack", "adopt", id, "--alias", "builds")
        assert.strictEqual(exit, 0, err.join("\n"))
      }
      assert.isTrue((yield* Effect.promise(() => bot.conversations.info({ channel: id }))).channel?.is_member)
      const remembered = yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.channelOfAlias("builds" as never))
        .pipe(
          Effect.provide(world.layer())
        )
      assert.deepStrictEqual(remembered, Option.some(id))
    }))

  it.live("refuses what it cannot enter", () =>
    Effect.gen(function*() {
      const { km, workspace, world } = yield* connected()
      const ada = slackClient(workspace, tokenOf(workspace, "ada"))
      for (const text of ["builds", "#builds", "", "U0EVE00001"]) {
        endedWith("KM-CLI-001", yield* km.run("slack", "adopt", text))
      }
      endedWith("KM-SLK-134", yield* km.run("slack", "adopt", "C0NOTTHERE1"))
      const gone = yield* Effect.promise(() => ada.conversations.create({ name: "old" }))
      yield* Effect.promise(() => ada.conversations.archive({ channel: gone.channel?.id ?? "" }))
      endedWith("KM-SLK-143", yield* km.run("slack", "adopt", gone.channel?.id ?? "", "--alias", "old"))
      const hidden = yield* Effect.promise(() => ada.conversations.create({ name: "hidden", is_private: true }))
      endedWith("KM-SLK-134", yield* km.run("slack", "adopt", hidden.channel?.id ?? ""))
      for (const alias of ["Builds", "-a", "a b", "a".repeat(41), ""]) {
        endedWith("KM-CLI-001", yield* km.run("slack", "adopt", "C0NOTTHERE1", `--alias=${alias}`))
      }
      assert.lengthOf([...world.aliasChannels], 0)
    }))
})

describe("km slack threads", () => {
  it.live("shows a sandbox's own, newest first, as many as asked for", () =>
    Effect.gen(function*() {
      const { km, shared, world } = yield* connected()
      const none = yield* km.run("slack", "threads", "demo")
      assert.include(none.out.join("\n"), "has no threads")
      const now = Date.now()
      const put = (minute: number, session?: string, of = sandbox) =>
        Effect.flatMap(Threads, (threads) =>
          threads.put({
            channel: shared,
            threadTs: MessageTs.make(`170000000${minute}.000001`),
            sandbox: of,
            createdAt: now,
            lastTurnAt: now + minute * 60_000,
            ...(session === undefined ? {} : { session: SessionId.make(session) })
          })).pipe(Effect.provide(world.layer()))
      yield* put(1, "0b0a0c0d-0000-4000-8000-000000000001")
      yield* put(2)
      yield* put(3, undefined, SandboxId.make("sb-ffffffff"))
      const { exit, out } = yield* km.run("slack", "threads", "demo", "--json")
      assert.strictEqual(exit, 0)
      assert.deepStrictEqual((yield* km.run("slack", "threads", "demo", "-n", "0")).out, [])
      const { threads } = JSON.parse(out.join("")) as { readonly threads: ReadonlyArray<Record<string, unknown>> }
      assert.deepStrictEqual(threads.map(({ session, threadTs }) => [threadTs, session]), [
        ["1700000002.000001", null],
        ["1700000001.000001", "0b0a0c0d-0000-4000-8000-000000000001"]
      ])
      const one = yield* km.run("slack", "threads", "demo", "--json", "--lines", "1")
      assert.lengthOf((JSON.parse(one.out.join("")) as { readonly threads: ReadonlyArray<unknown> }).threads, 1)
      endedWith("KM-CLI-002", yield* km.run("slack", "threads", "nobody"))
      assert.notStrictEqual((yield* km.run("slack", "threads", "demo", "--lines", "many")).exit, 0)
    }))
})
