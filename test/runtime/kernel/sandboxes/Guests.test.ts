/** What is known of people of other workspaces: by sandbox and person, vouched for only what the journal has. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SandboxId, UserId } from "../../../../runtime/domain/sandbox/Ids.ts"
import { unknownGuest } from "../../../../runtime/domain/slack/Guest.ts"
import {
  allow,
  changeGuest,
  disallow,
  forgetGuests,
  guest,
  guests,
  judge,
  judgementOf
} from "../../../../runtime/kernel/sandboxes/Guests.ts"
import { Audit, type AuditRecord } from "../../../../runtime/ports/Audit.ts"
import { Facts } from "../../../../runtime/ports/Facts.ts"
import * as MemoryFacts from "../../../../runtime/ports/memory/MemoryFacts.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"

const one = SandboxId.make("sb-00000001")
const other = SandboxId.make("sb-00000002")
const ann = UserId.make("U0001")
const bob = UserId.make("U0002")

/** A journal into a list, or one that takes nothing. */
const journal = (said: Array<AuditRecord>, broken = false) =>
  Layer.mock(Audit, {
    record: (entry) =>
      broken
        ? Effect.fail(
          new StoreError({ port: "Audit", operation: "record", reason: "Full", detail: "x", cause: undefined })
        )
        : Effect.sync(() => void said.push(entry))
  })

describe("guests", () => {
  it.effect("are known by sandbox and person; of whom nothing is known, nothing is said", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* guest(one, ann), unknownGuest)
      const known = { approval: "complete", member: true, confirmed: false, address: "ann@example.com" } as const
      assert.deepStrictEqual(yield* changeGuest(one, ann, () => known), known)
      assert.deepStrictEqual(yield* changeGuest(one, ann, () => undefined), known, "left as it was")
      assert.deepStrictEqual(yield* guest(one, bob), unknownGuest)
      assert.deepStrictEqual(yield* guest(other, ann), unknownGuest)
      assert.deepStrictEqual(yield* changeGuest(one, bob, (was) => ({ ...was, member: true })), {
        ...unknownGuest,
        member: true
      })
      assert.deepStrictEqual(yield* guests(one), [
        { user: ann, ...known },
        { user: bob, ...unknownGuest, member: true }
      ])
      assert.deepStrictEqual(yield* guests(other), [])
      yield* changeGuest(other, ann, () => known)
      yield* forgetGuests(one)
      assert.deepStrictEqual([yield* guests(one), (yield* guests(other)).length], [[], 1])
    }).pipe(Effect.provide(MemoryFacts.layer)))

  it.effect("a fact that cannot be read says nothing for anybody, and one of nobody is left out", () =>
    Effect.gen(function*() {
      const facts = yield* Facts
      yield* facts.put(one, `guest/${ann}`, "of another version")
      yield* facts.put(one, "guest/nobody", "{}")
      yield* facts.put(one, "something/else", "{}")
      assert.deepStrictEqual(yield* guest(one, ann), unknownGuest)
      assert.deepStrictEqual(yield* guests(one), [{ user: ann, ...unknownGuest }])
      yield* forgetGuests(one)
      assert.deepStrictEqual((yield* facts.list("", one)).map(({ key }) => key), ["something/else"])
    }).pipe(Effect.provide(MemoryFacts.layer)))

  it.effect("are vouched for in the journal first; what it does not take is not granted", () =>
    Effect.gen(function*() {
      const said: Array<AuditRecord> = []
      const act = { actor: "operator", subject: one, detail: ann, verdict: "allowed" } as const
      const known = yield* changeGuest(one, ann, (was) => ({ ...was, member: true }))
      assert.deepStrictEqual(yield* Effect.provide(allow(one, ann), journal(said)), { ...known, confirmed: true })
      assert.deepStrictEqual(yield* Effect.provide(disallow(one, ann), journal(said)), known)
      assert.deepStrictEqual(said, [{ ...act, action: "slack.allow" }, { ...act, action: "slack.disallow" }])
      assert.strictEqual((yield* Effect.flip(Effect.provide(allow(one, ann), journal(said, true)))).reason, "Full")
      assert.deepStrictEqual(yield* guest(one, ann), known)
    }).pipe(Effect.provide(MemoryFacts.layer)))

  it.effect("an invitation is judged by an admin's last word", () =>
    Effect.gen(function*() {
      assert.isUndefined(yield* judgementOf(one, "I1"))
      yield* judge(one, "I1", true)
      assert.strictEqual(yield* judgementOf(one, "I1"), "approved")
      assert.isUndefined(yield* judgementOf(one, "I2"))
      assert.isUndefined(yield* judgementOf(other, "I1"))
      yield* judge(one, "I1", false)
      assert.strictEqual(yield* judgementOf(one, "I1"), "declined")
      yield* (yield* Facts).put(one, "invite/I1", "perhaps")
      assert.isUndefined(yield* judgementOf(one, "I1"))
    }).pipe(Effect.provide(MemoryFacts.layer)))
})
