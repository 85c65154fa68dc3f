/** Mail that starts a turn, killed before and after every call to the world outside: one turn, one answer, nothing lost. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ada, bob, type Death, mailTurnWorld, turnProfile } from "./mailTurnWorld.ts"

/** What must be so at the end, however often the process was killed. */
const oneTurn = Effect.fnUntraced(function*(deaths: ReadonlyArray<Death>) {
  const world = yield* mailTurnWorld()
  const sent = yield* world.accountOf(ada).send(world.letter("job 17", "run the tests", { encrypt: true }))
  for (const death of deaths) yield* world.live(world.quiet, death)
  const calls = yield* world.live(world.quiet)
  const name = JSON.stringify(deaths)

  const rows = yield* world.turns
  assert.deepStrictEqual(rows.map(({ result, state }) => [state, result]), [["settled", "answered"]], name)
  // An agent that was killed is told to go on; the mail is given to one once.
  assert.strictEqual(world.agent.runs.filter(({ prompt }) => prompt.includes("run the tests")).length, 1, name)
  const answers = yield* world.inboxOf(ada)
  assert.deepStrictEqual(
    answers.map(({ body, hop, inReplyTo, sender, status, subject }) => ({
      body,
      hop,
      inReplyTo,
      sender,
      status,
      subject
    })),
    [{ body: "the tests pass", hop: 1, inReplyTo: sent.id, sender: bob, status: "verified", subject: "Re: job 17" }],
    name
  )
  // A second copy would be quarantined as a repetition.
  assert.deepStrictEqual(yield* world.accountOf(ada).list("quarantine", { limit: 10 }), [], name)
  const inbox = yield* world.accountOf(bob).list("inbox", { limit: 10 })
  assert.deepStrictEqual(inbox.map(({ judged, row }) => [judged.id, row.read]), [[sent.id, true]], name)
  assert.deepStrictEqual(yield* world.accountOf(bob).list("quarantine", { limit: 10 }), [], name)
  const shown = world.bridge.effects().map(({ action }) => action.action === "post" ? action.markdown : action.action)
  assert.deepStrictEqual(
    shown,
    ["📬 Mail from `sb-aaaa1111@km.invalid` (verified): job 17", "the tests pass"],
    name
  )
  return calls
}, Effect.scoped)

/** What must be so at the end where nothing is started. */
const toldOnce = Effect.fnUntraced(function*(deaths: ReadonlyArray<Death>) {
  const world = yield* mailTurnWorld(turnProfile({ onReceive: "notify" }))
  yield* world.accountOf(ada).send(world.letter("news", "it is done"))
  const told = Effect.map(world.quiet, (quiet) => quiet && world.bridge.effects().length > 0)
  for (const death of deaths) yield* world.live(told, death)
  const calls = yield* world.live(told)
  const lines = world.bridge.effects().map(({ action }) => action.action === "post" ? action.markdown : "")
  assert.deepStrictEqual(lines, ["📬 Mail from `sb-aaaa1111@km.invalid` (verified): news"], JSON.stringify(deaths))
  return calls
}, Effect.scoped)

describe("mail turns through crashes", () => {
  it.live("every point of one turn, before and after", () =>
    Effect.gen(function*() {
      const calls = yield* oneTurn([])
      // The whole way is in it, or this test tests nothing.
      for (const name of ["recordSeen", "file", "markRead", "note", "noted"]) assert.include(calls, `Mailbox.${name}`)
      assert.isBelow(calls.indexOf("Mailbox.file"), calls.indexOf("Ledger.insert"), "filed before it is a turn")
      for (const name of ["Ledger.insert", "Ledger.update", "Mailer.sendAll", "Bridge.call"]) {
        assert.include(calls, name)
      }
      for (let call = 0; call < calls.length; call++) {
        yield* oneTurn([{ call, when: "before" }])
        // And its next life dies young.
        yield* oneTurn([{ call, when: "after" }, { call: (call * 7) % 6, when: "before" }])
      }
    }))

  it.live("what only tells the channel, tells it once", () =>
    Effect.gen(function*() {
      const calls = yield* toldOnce([])
      for (let call = 0; call < calls.length; call++) {
        yield* toldOnce([{ call, when: "before" }])
        yield* toldOnce([{ call, when: "after" }])
      }
    }))
})
