/** `km-recv` and `--watch`: what waits is handed over in order, and nothing is left out, however much comes at once. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option, Schema } from "effect"
import { makeListing } from "../../../plugins/email/MailListing.ts"
import { decodeRequest, List } from "../../../plugins/email/MailRequests.ts"
import { SandboxId } from "../../../runtime/domain/sandbox/Ids.ts"
import { Mailbox } from "../../../runtime/ports/Mail.ts"
import { mailState } from "../../support/MailState.ts"

const ada = SandboxId.make("sb-aaaa1111")
const bob = SandboxId.make("sb-bbbb2222")

const asked = (more: Partial<typeof List.Type>): typeof List.Type => ({
  v: 1,
  op: "list",
  limit: 2,
  waitSeconds: 0,
  ...more
})

/** Ada writes to Bob, whose listing is asked. */
const world = Effect.gen(function*() {
  const state = yield* mailState({ [ada]: "ada", [bob]: "bob" })
  const [from, to] = [yield* state.accountOf(ada), yield* state.accountOf(bob)]
  const mailbox = yield* Effect.provideContext(Mailbox, state.ports)
  const { list, watch } = makeListing(bob, to, mailbox)
  const send = (subject: string) => from.send({ ...from.letter, to: [bob], subject, body: subject })
  const deliver = (...subjects: ReadonlyArray<string>) =>
    Effect.forEach(subjects, (subject) => Effect.andThen(send(subject), to.judge), { discard: true })
  /** Asks until nothing new is there, as `km-recv --watch` does. */
  const followed = Effect.fnUntraced(function*(after: number | undefined, more: Partial<typeof List.Type> = {}) {
    const pages: Array<ReadonlyArray<string>> = []
    let place = after
    while (true) {
      const { messages, upTo } = yield* watch(
        asked({ watch: true, ...(place === undefined ? {} : { after: place }), ...more })
      )
      if (messages.length === 0) return { pages, upTo }
      pages.push(messages.map(({ subject }) => subject))
      place = upTo
    }
  })
  return { bob: to, deliver, followed, list, mailbox, send, watch }
})

describe("what an agent's programs ask for", () => {
  it.live("a watch begins with the newest ones and then leaves nothing out, oldest first", () =>
    Effect.gen(function*() {
      const { deliver, followed, list } = yield* world
      yield* deliver("1", "2", "3")
      const begun = yield* followed(undefined)
      assert.deepStrictEqual(begun.pages, [["2", "3"]])
      yield* deliver("4", "5", "6", "7", "8")
      assert.deepStrictEqual((yield* followed(begun.upTo)).pages, [["4", "5"], ["6", "7"], ["8"]])
      assert.deepStrictEqual((yield* list(asked({}))).messages.map(({ subject }) => subject), ["8", "7"])
    }).pipe(Effect.scoped))

  it.live("a watch of an empty mailbox shows all that comes before it looks again", () =>
    Effect.gen(function*() {
      const { deliver, followed } = yield* world
      const begun = yield* followed(undefined)
      yield* deliver("1", "2", "3", "4", "5")
      assert.deepStrictEqual((yield* followed(begun.upTo)).pages, [["1", "2"], ["3", "4"], ["5"]])
    }).pipe(Effect.scoped))

  it.live("a watch with a filter goes past what does not fit and misses nothing that does", () =>
    Effect.gen(function*() {
      const { deliver, followed } = yield* world
      yield* deliver("a1", "b", "a2")
      const begun = yield* followed(undefined, { subject: "a" })
      assert.deepStrictEqual(begun.pages, [["a1", "a2"]])
      yield* deliver("b2", "b3", "a3", "b4", "a4", "a5", "b5")
      const more = yield* followed(begun.upTo, { subject: "a" })
      assert.deepStrictEqual(more.pages, [["a3", "a4"], ["a5"]])
      yield* deliver("a6")
      assert.deepStrictEqual((yield* followed(more.upTo, { subject: "a" })).pages, [["a6"]])
    }).pipe(Effect.scoped))

  it.live("what is filed late, because its judge was interrupted, is not skipped", () =>
    Effect.gen(function*() {
      const { bob: account, deliver, followed, mailbox, send } = yield* world
      yield* deliver("1")
      const begun = yield* followed(undefined)
      yield* send("2")
      const late = Option.getOrThrow(yield* mailbox.lease(bob, Duration.minutes(1)))
      yield* deliver("3")
      const waiting = yield* followed(begun.upTo)
      assert.deepStrictEqual(waiting.pages, [])
      yield* mailbox.release(bob)
      assert.isFalse(yield* mailbox.file(bob, late.receipt, { folder: "inbox", summary: "", content: "" }))
      yield* account.judge
      assert.deepStrictEqual((yield* followed(waiting.upTo)).pages, [["2", "3"]])
    }).pipe(Effect.scoped))

  it("nobody looks for nothing: an empty filter is no request", () => {
    for (const name of ["id", "from", "subject", "inReplyTo"]) {
      const request = { ...asked({}), [name]: "" }
      assert.isTrue(Option.isNone(decodeRequest(JSON.stringify(request))), name)
      assert.isTrue(Schema.is(List)({ ...request, [name]: "x" }), name)
    }
  })
})
