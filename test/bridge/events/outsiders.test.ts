/** Who of another workspace may drive an agent: only who was invited, approved, is who the invitation meant, and is there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Incoming } from "../../../bridge/events/Incoming.ts"
import { Notes } from "../../../bridge/events/Notes.ts"
import { Outsiders } from "../../../bridge/events/Outsiders.ts"
import { UserId } from "../../../runtime/domain/sandbox/Ids.ts"
import { allow, disallow, guests } from "../../../runtime/kernel/sandboxes/Guests.ts"
import { Audit } from "../../../runtime/ports/Audit.ts"
import { Errands } from "../../../runtime/ports/Errands.ts"
import * as MemoryFacts from "../../../runtime/ports/memory/MemoryFacts.ts"
import { StoreError } from "../../../runtime/ports/StoreError.ts"
import { profileWith } from "../../support/profiles.ts"
import { bridgeOverScript, channel, refused, scriptedSlack } from "../scripted.ts"
import { rowOf, sandbox } from "../world.ts"

const eve = UserId.make("U0EVE00001")
const invited = "Eve@elsewhere.test"
const profile = profileWith({
  notifySlackEnabled: true,
  notifySlackPerSandbox: true,
  notifySlackInboundEnabled: true,
  notifySlackInviteEmails: [invited]
})
const row = rowOf(sandbox, channel, {}, profile)

type Accepted = Extract<Incoming, { readonly _tag: "InviteAccepted" }>
const accepted = (changes: Partial<Accepted> = {}): Incoming => ({
  _tag: "InviteAccepted",
  channel,
  invite: "I1",
  user: eve,
  invited: "eve@elsewhere.test",
  address: "EVE@elsewhere.test",
  approvalRequired: true,
  ...changes
})
const judged = (approved: boolean, invite = "I1"): Incoming => ({ _tag: "InviteJudged", channel, invite, approved })
const member = (present: boolean): Incoming => ({ _tag: "Member", channel, user: eve, present })

/** What the events come to: whether Eve may write. */
const after = (...events: ReadonlyArray<Incoming>) =>
  Effect.gen(function*() {
    const outsiders = yield* Outsiders
    for (const event of events) {
      if (event._tag === "InviteAccepted") yield* outsiders.accepted(row, event)
      if (event._tag === "InviteJudged") yield* outsiders.judged(row, event)
      if (event._tag === "Member") yield* outsiders.member(row, event)
    }
    return yield* outsiders.mayDrive(row, eve)
  })
const known = (email: string) => ({ "users.info": { ok: true, user: { profile: { email } } } })
/** Slack says nobody is there and knows no addresses, unless told. */
const over = (answers: Parameters<typeof scriptedSlack>[0] = {}) =>
  Effect.provide(bridgeOverScript(scriptedSlack({
    "conversations.members": { ok: true, members: [] },
    "users.info": { ok: true, user: { profile: {} } },
    ...answers
  })))

const page = (members: ReadonlyArray<string>, next?: string) => ({
  ok: true,
  members,
  ...(next === undefined ? {} : { response_metadata: { next_cursor: next } })
})

const asked = (cursor?: string) => ({ channel, limit: 1_000, ...(cursor === undefined ? {} : { cursor }) })

describe("a person of another workspace", () => {
  it.effect("is admitted when approved, of the invited address and in the channel, in whatever order that is heard", () =>
    Effect.gen(function*() {
      const [a, b, c] = [accepted(), judged(true), member(true)]
      for (const order of [[a, b, c], [a, c, b], [b, a, c]]) {
        for (let length = 0; length < 3; length++) {
          assert.isFalse(yield* after(...order.slice(0, length)).pipe(over()), String(length))
        }
        assert.isTrue(yield* after(...order, ...order).pipe(over()))
      }
      // Slack's delivery of the joining may be lost, or come before the acceptance: then the channel itself says it.
      const there = { "conversations.members": { ok: true, members: ["U0MAX00001", eve] } }
      assert.isTrue(yield* after(c, a, b).pipe(over(there)))
      assert.isTrue(yield* after(accepted({ approvalRequired: false })).pipe(over(there)))
    }))

  it.effect("is not admitted by the acceptance alone, by another's address, by nobody's, or from outside the channel", () =>
    Effect.gen(function*() {
      const there = { "conversations.members": { ok: true, members: [eve] } }
      const no = (...events: ReadonlyArray<Incoming>) =>
        Effect.map(after(...events).pipe(over(there)), (may) => assert.isFalse(may))
      yield* no(accepted(), member(true))
      yield* no(accepted({ address: "max@elsewhere.test", approvalRequired: false }), member(true))
      const { address: _, ...unknown } = { ...accepted(), address: "" } as Accepted
      yield* no({ ...unknown, approvalRequired: false }, member(true))
      yield* no(accepted({ invited: "bob@elsewhere.test", address: "bob@elsewhere.test", approvalRequired: false }))
      yield* no(accepted(), judged(false), member(true))
      yield* no(judged(false), accepted(), member(true))
      yield* no(accepted(), judged(true, "I2"), member(true))
      yield* no(member(true))
      const absent = accepted({ approvalRequired: false })
      assert.isFalse(yield* after(absent).pipe(over()))
      assert.isFalse(yield* after(absent, member(true), member(false)).pipe(over()))
      assert.isFalse(yield* after(absent).pipe(over({ "conversations.members": refused("missing_scope") })))
      // A new invitation has to be approved anew.
      yield* no(accepted(), judged(true), member(true), accepted({ invite: "I2" }))
    }))

  it.effect("is looked for in the channel page by page, five of a thousand at most", () =>
    Effect.gen(function*() {
      const looked = Effect.fnUntraced(function*(pages: ReadonlyArray<object>) {
        const slack = scriptedSlack({ "conversations.members": pages })
        const may = yield* after(accepted({ approvalRequired: false })).pipe(Effect.provide(bridgeOverScript(slack)))
        return [may, slack.argsOf("conversations.members")]
      })
      assert.deepStrictEqual(yield* looked([page([eve], "more")]), [true, [asked()]])
      assert.deepStrictEqual(yield* looked([page(["U0MAX00001"], "two"), page([eve])]), [true, [asked(), asked("two")]])
      assert.deepStrictEqual(yield* looked([page([], "")]), [false, [asked()]])
      assert.deepStrictEqual(yield* looked([page([])]), [false, [asked()]])
      assert.deepStrictEqual(yield* looked([page([], "on")]), [false, [asked(), ...Array(4).fill(asked("on"))]])
    }))

  it.effect("who was approved once stays so for the same invitation, whatever a repeated acceptance says", () =>
    Effect.gen(function*() {
      const granted = accepted({ approvalRequired: false })
      assert.isTrue(yield* after(granted, member(true), accepted()).pipe(over()))
      assert.isFalse(yield* after(granted, member(true), accepted({ invite: "I2" })).pipe(over()))
      assert.isTrue(yield* after(granted, member(true), accepted({ invite: "I2" }), judged(true, "I2")).pipe(over()))
      assert.isFalse(yield* after(granted, member(true), judged(false)).pipe(over()))
      assert.isTrue(yield* after(granted, member(true), judged(false, "I2")).pipe(over()))
    }))

  it.effect("is told by their own profile where the event does not have their address", () =>
    Effect.gen(function*() {
      const { address: _, ...silent } = { ...accepted({ approvalRequired: false }), address: "" } as Accepted
      assert.isTrue(yield* after(silent, member(true)).pipe(over(known("eve@elsewhere.test"))))
      assert.isFalse(yield* after(silent, member(true)).pipe(over(known("max@elsewhere.test"))))
    }))

  it.effect("whom Slack cannot vouch for is admitted by an operator, in the journal first, and sent away again", () => {
    const slack = scriptedSlack({ "conversations.members": { ok: true, members: [eve] } })
    return Effect.gen(function*() {
      const outsiders = yield* Outsiders
      const stranger = accepted({ address: "max@elsewhere.test", approvalRequired: false })
      assert.isFalse(yield* after(stranger, stranger))
      yield* (yield* Notes).put("end", { channel }, "end")
      yield* (yield* Errands).drain("Note")
      const said = slack.argsOf("chat.postMessage").map((args) => String(args["text"]))
      assert.lengthOf(said.filter((text) => text.includes("km slack --help") && text.includes(eve)), 1)
      yield* allow(sandbox, eve)
      assert.isTrue(yield* outsiders.mayDrive(row, eve))
      assert.deepInclude((yield* guests(sandbox))[0], { user: eve, confirmed: true, address: "max@elsewhere.test" })
      // What Slack says later takes an operator's word not back.
      assert.isTrue(yield* after(member(false), judged(false)))
      yield* disallow(sandbox, eve)
      assert.isFalse(yield* outsiders.mayDrive(row, eve))
    }).pipe(Effect.provide(bridgeOverScript(slack)))
  })

  it.effect("is not admitted before the journal has it", () =>
    Effect.gen(function*() {
      const outsiders = yield* Outsiders
      yield* outsiders.accepted(row, accepted({ approvalRequired: false }) as Accepted)
      const refusal = yield* Effect.flip(outsiders.member(row, { _tag: "Member", channel, user: eve, present: true }))
      // Slack sends the event again.
      assert.strictEqual(refusal.reason, "not_stored")
      assert.isFalse(yield* outsiders.mayDrive(row, eve))
    }).pipe(Effect.provide(Outsiders.layer.pipe(
      Layer.provide(MemoryFacts.layer),
      Layer.provide(Layer.mock(Notes, { put: () => Effect.void })),
      Layer.provide(scriptedSlack({ "conversations.members": { ok: true, members: [] } }).layer),
      Layer.provide(Layer.mock(Audit, {
        record: () =>
          new StoreError({ port: "Audit", operation: "record", reason: "Full", detail: "", cause: undefined })
      }))
    ))))
})
