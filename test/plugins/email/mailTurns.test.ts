/** Which mail starts a turn, whose conversation it continues, and when its answer is not mailed: the decisions, and the whole. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import {
  answerSubject,
  groupOf,
  isAwaited,
  mailOriginOf,
  maxTurnsInHand,
  mayStartTurn,
  promptCharacters,
  referencesAfter,
  rootOf,
  turnKeyOf
} from "../../../plugins/email/MailTurns.ts"
import type { Verdict } from "../../../plugins/email/protocol/Verdict.ts"
import { MailStatus } from "../../../plugins/email/protocol/wire.ts"
import { Alias } from "../../../runtime/domain/sandbox/Ids.ts"
import { AgentOutcome, TurnRequest } from "../../../runtime/domain/turn/Turn.ts"
import { replayRequest } from "../../../runtime/kernel/turns/TurnMachine.ts"
import { ada, bob, carol, mailTurnWorld, turnProfile } from "./mailTurnWorld.ts"

const Text = Schema.String.check(Schema.isMaxLength(30))
const Id = Schema.String.check(Schema.isPattern(/^<[a-c]{1,2}@x>$/))

const verdict: Verdict = {
  status: "verified",
  reason: "",
  form: "v2",
  sender: ada,
  promised: "v2",
  encrypted: false,
  duplicate: false,
  mail: {
    id: "<a@x>",
    from: { address: "sb-aaaa1111@km.invalid", name: "" },
    to: [],
    cc: [],
    replyTo: null,
    subject: "",
    inReplyTo: null,
    references: [],
    created: 1,
    hop: 0,
    text: "",
    attachments: []
  }
}

describe("mail turns: decisions", () => {
  it("only what is verified under v2, once, and not awaited", () => {
    assert.isTrue(mayStartTurn("turn", { verdict }, false))
    assert.isFalse(mayStartTurn("notify", { verdict }, false))
    assert.isFalse(mayStartTurn("turn", { verdict }, true))
    assert.isFalse(mayStartTurn("turn", { verdict: { ...verdict, duplicate: true } }, false))
    assert.isFalse(mayStartTurn("turn", { verdict: { ...verdict, sender: undefined } }, false))
    assert.isFalse(mayStartTurn("turn", { verdict: { ...verdict, form: "v1" } }, false))
    for (const status of MailStatus.literals) {
      assert.strictEqual(
        mayStartTurn("turn", { verdict: { ...verdict, status } }, false),
        status === "verified",
        status
      )
    }
  })

  it.prop(
    "a conversation is one sender's and one thread's",
    [Text, Text, Text, Text],
    ([sender, root, otherSender, otherRoot]) => {
      const same = sender === otherSender && root === otherRoot
      assert.strictEqual(groupOf(sender, root) === groupOf(otherSender, otherRoot), same)
    }
  )

  it.prop(
    "an answer's thread keeps its root and its newest, and fits",
    [Schema.Array(Id).check(Schema.isMaxLength(120)), Id],
    ([references, id]) => {
      const after = referencesAfter(references, id)
      assert.isAtMost(after.length, 50)
      assert.strictEqual(after.at(-1), id)
      assert.strictEqual(after[0], references[0] ?? id)
      // Whoever answers that answer is in the same conversation.
      assert.strictEqual(
        rootOf({ id: "<z@x>", inReplyTo: id, references: after }),
        rootOf({ id, inReplyTo: null, references })
      )
    }
  )

  it.prop("one key for one delivery", [Text, Text], ([a, b]) => {
    assert.strictEqual(turnKeyOf(ada, a) === turnKeyOf(ada, b), a === b)
    assert.notStrictEqual(turnKeyOf(ada, a), turnKeyOf(bob, a))
  })

  it("an answer's subject, and who is waited for", () => {
    assert.strictEqual(answerSubject("job"), "Re: job")
    assert.strictEqual(answerSubject("RE: job"), "RE: job")
    assert.lengthOf(answerSubject("x".repeat(998)), 998)
    const sent = { owners: [bob], awaitedUntil: 100 }
    assert.isTrue(isAwaited(sent, bob, 99))
    assert.isFalse(isAwaited(sent, bob, 100))
    assert.isFalse(isAwaited(sent, carol, 99))
    assert.isFalse(isAwaited(undefined, bob, 99))
  })
})

const encodeRequest = Schema.encodeSync(Schema.fromJsonString(TurnRequest))

/** Of `km-send`: a question to one, and a wait that is soon over. */
const asks = (to: string) => ["--to", to, "--subject", "question", "--body", "/dev/null", "--wait-reply", "1"]

const origins = (rows: ReadonlyArray<{ readonly request: Pick<TurnRequest, "origin"> }>) =>
  rows.flatMap(({ request }) => mailOriginOf(request.origin) ?? [])

describe("mail turns: the whole", () => {
  it.live("a follow-up continues the conversation; nobody else does", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      const first = yield* world.accountOf(ada).send(world.letter("job", "one"))
      yield* world.live(world.quiet)
      const [answer] = yield* world.inboxOf(ada)
      // Ada goes on in the thread; it answers Bob's mail, so his outcome is not mailed.
      yield* world.accountOf(ada).send(world.letter("Re: job", "two", { inReplyTo: answer?.id ?? "" }))
      // Carol knows the thread's ids and uses them.
      const stolen = { inReplyTo: first.id, references: [first.id] }
      yield* world.accountOf(carol).send(world.letter("Re: job", "three", stolen))
      yield* world.live(world.quiet)
      const runs = ["one", "two", "three"].map((said) => world.agent.runs.find(({ prompt }) => prompt.endsWith(said)))
      assert.deepStrictEqual(runs.map((run) => run?.mode), ["fresh", "resume", "fresh"])
      assert.strictEqual(runs[1]?.session, runs[0]?.session)
      assert.notStrictEqual(runs[2]?.session, runs[0]?.session)
      assert.include(runs[1]?.prompt ?? "", "nothing is mailed back by itself")
      assert.include(runs[2]?.prompt ?? "", "is mailed back to them")
      assert.lengthOf(yield* world.inboxOf(ada), 1)
      assert.lengthOf(yield* world.inboxOf(carol), 1)
      // All three outcomes are shown in the channel.
      const shown = world.bridge.effects().filter(({ key }) => key.endsWith("/answer/0"))
      assert.lengthOf(shown, 3)
    }).pipe(Effect.scoped))

  it.live("a failure is mailed back as well, and no secret with it", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      const reason = "The key hunter2-hunter2 is not valid"
      world.agent.answer = (run) =>
        Effect.succeed(
          run.prompt.endsWith("fail")
            ? AgentOutcome.cases.Failed.make({ code: "KM-AGT-401", reason, remedy: "Set a key" })
            : AgentOutcome.cases.Answered.make({ text: run.prompt.endsWith("empty") ? "" : "it is hunter2-hunter2" })
        )
      for (const body of ["fail", "tell", "empty"]) yield* world.accountOf(ada).send(world.letter(body, body))
      yield* world.live(world.quiet)
      const bodies = new Map((yield* world.inboxOf(ada)).map(({ body, subject }) => [subject, body]))
      assert.match(
        bodies.get("Re: fail") ?? "",
        /^\*\*Failed\.\*\* The key .* is not valid\. Set a key\. \(KM-AGT-401\)$/
      )
      assert.match(bodies.get("Re: tell") ?? "", /^it is /)
      assert.include(bodies.get("Re: empty") ?? "", "without a written answer")
      assert.notInclude([...bodies.values()].join(), "hunter2")
    }).pipe(Effect.scoped))

  it.live("a long mail is cut for the prompt, attachments are named, and its environment says where all of it is", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      const attachments = [{ name: "log.txt", type: "text/plain", bytes: Buffer.from("log") }]
      yield* world.accountOf(ada).send(world.letter("long", "x".repeat(promptCharacters + 1), { attachments }))
      yield* world.live(world.quiet)
      const [run] = world.agent.runs
      const [filed] = yield* world.accountOf(bob).list("inbox", { limit: 1 })
      assert.include(run?.prompt ?? "", "Only the beginning of its text follows")
      assert.include(run?.prompt ?? "", "log.txt (text/plain, 3 B)")
      assert.isBelow(run?.prompt.length ?? 0, promptCharacters + 2_000)
      assert.deepStrictEqual(run?.env, { KM_MAIL_ID: filed?.row.id ?? "", KM_MAIL_FROM: `${ada}@km.invalid` })
    }).pipe(Effect.scoped))

  it.live("who is not named starts nothing and is told of in quarantine; nor does mail that proves nothing", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld(turnProfile({ allowedSenders: [ada], verifyInbound: "off" }))
      yield* world.accountOf(carol).send(world.letter("job", "from carol"))
      yield* world.deliver(
        "unsigned",
        "From: x@example.org\r\nTo: sb-bbbb2222@km.invalid\r\nSubject: hi\r\n\r\nwork\r\n"
      )
      yield* world.live(world.quiet)
      assert.deepStrictEqual(yield* world.turns, [])
      const kept = yield* world.accountOf(bob).list("quarantine", { limit: 9 })
      assert.deepStrictEqual(kept.map(({ judged }) => [judged.status, judged.reason]), [[
        "verified",
        "sender-not-allowed"
      ]])
      const inbox = yield* world.accountOf(bob).list("inbox", { limit: 9 })
      assert.deepStrictEqual(inbox.map(({ judged, row }) => [judged.status, row.read]), [["unsigned", false]])
    }).pipe(Effect.scoped))

  it.live("what the operator releases goes the way of what was let in: verified mail starts its turn, once, other mail none", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld(turnProfile({ allowedSenders: [ada] }))
      yield* world.accountOf(carol).send(world.letter("job", "from carol"))
      const raw = "From: x@example.org\r\nTo: sb-bbbb2222@km.invalid\r\nSubject: hi\r\n\r\nwork\r\n"
      for (const id of ["unsigned", "left"]) yield* world.deliver(id, raw)
      yield* world.live(world.quiet)
      const own = world.accountOf(bob)
      const kept = yield* own.list("quarantine", { limit: 9 })
      assert.lengthOf(kept, 3)
      for (const { row } of kept.filter(({ row: { id } }) => id !== "left")) {
        yield* own.release(row.id)
        // It is judged by its runtime, which is down: until then it is nowhere.
        assert.include((yield* Effect.flip(own.release(row.id))).message, "KM-EML-106")
      }
      assert.deepStrictEqual(yield* world.turns, [])
      yield* world.live(world.quiet)
      yield* world.live(world.quiet)
      const inbox = yield* own.list("inbox", { limit: 9 })
      assert.deepStrictEqual(inbox.map(({ judged }) => [judged.status, judged.reason]).toSorted(), [
        ["unsigned", "released: no-signature"],
        ["verified", "released: sender-not-allowed"]
      ])
      assert.deepStrictEqual((yield* own.list("quarantine", { limit: 9 })).map(({ row }) => row.id), ["left"])
      const turns = yield* world.turns
      assert.deepStrictEqual(origins(turns).map(({ sender }) => sender), [carol])
      assert.deepStrictEqual(turns.map(({ result }) => result), ["answered"])
      assert.lengthOf(yield* world.inboxOf(carol), 1)
      // The next one of the same sender is judged as ever.
      yield* world.accountOf(carol).send(world.letter("job", "another"))
      yield* world.live(world.quiet)
      assert.lengthOf(yield* world.turns, 1)
      for (const { row } of inbox) assert.include((yield* Effect.flip(own.release(row.id))).message, "KM-EML-115")
    }).pipe(Effect.scoped))

  it.live("an alias is whose certificate names it, whatever the table of sandboxes says", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld(turnProfile({ allowedSenders: ["build"] }))
      yield* world.rename(carol, Alias.make("build"))
      yield* world.accountOf(carol).send(world.letter("job", "from carol"))
      yield* world.accountOf(ada).send(world.letter("job", "from ada"))
      yield* world.live(world.quiet)
      assert.deepStrictEqual(origins(yield* world.turns).map(({ sender }) => sender), [ada])
      // Nor is mail led to whom the table names.
      for (const to of ["build", "build@km.invalid"]) {
        const refused = yield* Effect.flip(world.accountOf(bob).send(world.letter("secret", "x", { to: [to] })))
        assert.include(refused.message, "KM-EML-101")
      }
      assert.deepStrictEqual(yield* world.inboxOf(carol), [])
    }).pipe(Effect.scoped))

  it.live("an awaited reply is left to who waits, as unread mail; one that comes too late is work", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      const ask = (awaitSeconds: object) =>
        world.accountOf(bob).send(world.letter("question", "?", { to: [ada], ...awaitSeconds }))
      const waited = yield* ask({ awaitSeconds: 600 })
      const forgotten = yield* ask({})
      for (const { id } of [waited, forgotten]) {
        yield* world.accountOf(ada).send(world.letter("Re: question", `to ${id}`, { inReplyTo: id }))
      }
      // Not among the recipients: nobody waits for Carol.
      yield* world.accountOf(carol).send(world.letter("Re: question", "me too", { inReplyTo: waited.id }))
      yield* world.live(world.quiet)
      const rows = yield* world.turns
      assert.deepStrictEqual(origins(rows).map(({ sender }) => sender).toSorted(), [ada, carol])
      assert.deepStrictEqual(origins(rows).map(({ answered }) => answered), [false, false])
      const { found, missing } = yield* world.accountOf(bob).replies(waited.id)
      assert.deepStrictEqual([found.length, missing], [1, []])
      assert.isFalse(found[0]?.row.read)
    }).pipe(Effect.scoped))

  it.live("what the agent writes during a turn is at least one hop further", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      world.agent.answer = () =>
        Effect.as(world.sendAsAgent(carol, "please help"), AgentOutcome.cases.Answered.make({ text: "asked carol" }))
      yield* world.accountOf(ada).send(world.letter("job", "delegate it", { hop: 4 }))
      yield* world.live(world.quiet)
      assert.deepStrictEqual((yield* world.inboxOf(carol)).map(({ hop }) => hop), [5])
      assert.deepStrictEqual((yield* world.inboxOf(ada)).map(({ hop }) => hop), [5])
    }).pipe(Effect.scoped))

  it.live("two sandboxes that answer by themselves end: the hop limit is the runtime's", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      yield* world.accountOf(ada).send(world.letter("job", "the last answer", { hop: 20 }))
      yield* world.live(world.quiet)
      assert.deepStrictEqual((yield* world.turns).map(({ result }) => result), ["undeliverable"])
      assert.deepStrictEqual(yield* world.inboxOf(ada), [])
      // It is shown where the sandbox's people are.
      assert.isTrue(world.bridge.effects().some(({ key }) => key.endsWith("/answer/0")))
    }).pipe(Effect.scoped))

  it.live("a turn is stopped where no chat serves the request, and its sender is told", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      world.agent.answer = () => Effect.andThen(Effect.orDie(world.stop), Effect.never)
      yield* world.accountOf(ada).send(world.letter("job", "for ever"))
      yield* world.live(world.quiet)
      assert.match((yield* world.inboxOf(ada))[0]?.body ?? "", /^\*\*Stopped\*\* by operator/)
    }).pipe(Effect.scoped))

  it.live("mail beyond what a sandbox can have in hand is quarantined", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      world.agent.answer = () => Effect.never
      const each = maxTurnsInHand / 2 + 1
      for (const from of [ada, carol]) {
        for (let n = 0; n < each; n++) yield* world.accountOf(from).send(world.letter("job", `number ${n}`))
      }
      yield* world.live(world.judgedAll)
      assert.lengthOf(yield* world.ledger.open, maxTurnsInHand)
      const kept = yield* world.accountOf(bob).list("quarantine", { limit: 9 })
      assert.deepStrictEqual(kept.map(({ judged }) => judged.reason), ["too-many", "too-many"])
    }).pipe(Effect.scoped))

  it.live("the same answer to two questions is no repetition; the same answer twice is", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld(turnProfile({ onReceive: "notify" }))
      const answer = (id: string) => world.accountOf(ada).send(world.letter("Re: question", "yes", { inReplyTo: id }))
      const first = yield* world.accountOf(bob).send(world.letter("question", "one?", { to: [ada] }))
      const second = yield* world.accountOf(bob).send(world.letter("question", "two?", { to: [ada] }))
      assert.lengthOf(yield* world.inboxOf(ada), 2)
      for (const id of [first.id, second.id, first.id]) yield* answer(id)
      yield* world.live(world.judgedAll)
      const folder = (name: "inbox" | "quarantine") =>
        Effect.map(
          world.accountOf(bob).list(name, { limit: 9 }),
          (rows) => rows.map(({ judged }) => [judged.inReplyTo, judged.reason])
        )
      assert.deepStrictEqual(yield* folder("inbox"), [[second.id, ""], [first.id, ""]])
      assert.deepStrictEqual(yield* folder("quarantine"), [[first.id, "repeated"]])
    }).pipe(Effect.scoped))

  /** Bob's agent asks Ada and Carol and gives up after `seconds` at most; `meanwhile` is what happens until then. */
  const askingBoth = Effect.fnUntraced(function*(
    seconds: number,
    meanwhile: (world: Effect.Success<ReturnType<typeof mailTurnWorld>>) => Effect.Effect<unknown, unknown>
  ) {
    const world = yield* mailTurnWorld(turnProfile({ onReceive: "notify" }))
    const both = ["--to", ada, "--to", carol, "--subject", "question", "--body", "/dev/null"]
    const asking = yield* Effect.forkChild(world.kmSend([...both, "--wait-reply", `${seconds}`, "--json"]))
    const answering = Effect.gen(function*() {
      while ((yield* world.inboxOf(ada)).length === 0) yield* Effect.sleep(20)
      const [question] = yield* world.inboxOf(ada)
      yield* world.accountOf(ada).send(world.letter("Re: question", "yes", { inReplyTo: question?.id ?? "" }))
      yield* meanwhile(world)
    })
    const answered = yield* Effect.forkChild(answering)
    yield* world.live(Effect.sync(() => asking.pollUnsafe() !== undefined))
    yield* Fiber.join(answered)
    const ended = yield* Fiber.join(asking)
    assert.strictEqual(ended.exit, 7, ended.err)
    assert.include(ended.out.split("\n")[0] ?? "", "\"body\":\"yes\"")
    return ended.err
  }, Effect.scoped)

  it.live("who waits in vain is told for whom, and where to look later", () =>
    Effect.gen(function*() {
      const err = yield* askingBoth(20, () => Effect.void)
      assert.match(err, /KM-EML-110.*\n.*within 20 s sb-cccc3333 did not answer <.*>\n.*km-recv --in-reply-to '<.*>'/)
      assert.notInclude(err, ada)
    }))

  it.live("nobody is waited for that is not there any more", () =>
    Effect.gen(function*() {
      const err = yield* askingBoth(300, (world) => world.sandboxes.remove(carol))
      assert.include(err, "sb-cccc3333 was destroyed without an answer")
      assert.notInclude(err, "within 300 s")
    }))

  it.live("a thread whose conversation is gone is told so", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      const first = yield* world.accountOf(ada).send(world.letter("job", "one"))
      yield* world.live(world.quiet)
      world.agent.forgetful = true
      const { id } = yield* world.accountOf(ada).send(world.letter("job", "two", { inReplyTo: first.id }))
      yield* world.live(world.quiet)
      const [answer] = yield* world.inboxOf(ada)
      assert.strictEqual(answer?.inReplyTo, id)
      assert.match(answer?.body ?? "", /^the tests pass\n\n_The earlier conversation .* could not be found/)
    }).pipe(Effect.scoped))

  it.live("nobody is waited for whose answer would be quarantined", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld(turnProfile({ allowedSenders: [ada] }))
      const ended: Array<number | null> = []
      const asking = Effect.gen(function*() {
        for (const to of [carol, ada]) ended.push((yield* world.kmSend(asks(to))).exit)
      })
      const fiber = yield* Effect.forkChild(asking)
      yield* world.live(Effect.sync(() => fiber.pollUnsafe() !== undefined))
      assert.deepStrictEqual(ended, [6, 7])
      assert.lengthOf(yield* world.inboxOf(carol), 0)
      assert.lengthOf(yield* world.inboxOf(ada), 1)
    }).pipe(Effect.scoped))

  it.live("a turn is replayed where no chat does it, and its sender gets the new outcome", () =>
    Effect.gen(function*() {
      const world = yield* mailTurnWorld()
      world.agent.answer = () =>
        Effect.succeed(AgentOutcome.cases.Answered.make({ text: `run ${world.agent.runs.length}` }))
      yield* world.accountOf(ada).send(world.letter("job", "again"))
      yield* world.live(world.quiet)
      const [row] = yield* world.turns
      const request = row === undefined ? assert.fail("no turn") : replayRequest(row, 2)
      yield* world.queue.send(bob, { key: request.key, group: request.group, body: encodeRequest(request) })
      yield* world.live(
        Effect.map(world.turns, (rows) => rows.length === 2 && rows.every(({ state }) => state === "settled"))
      )
      assert.deepStrictEqual(yield* world.queue.depth(bob), { waiting: 0, inFlight: 0, dead: 0 })
      assert.deepStrictEqual((yield* world.inboxOf(ada)).map(({ body }) => body), ["run 2", "run 1"])
    }).pipe(Effect.scoped))
})
