/** Generated mail through everything that is real: built, sent by nodemailer's client, taken in, stored, parsed, verified. */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Option } from "effect"
import { canonicalBody } from "../../../../plugins/email/protocol/bodyText.ts"
import { writeV2 } from "../../../../plugins/email/protocol/writeMail.ts"
import { Mailbox, wholeOf } from "../../../../runtime/ports/Mail.ts"
import { draftFrom } from "../../../plugins/email/generated.ts"
import { alice, bob, plain, read } from "../../../plugins/email/world.ts"
import { listening, mailClient, withEngine } from "./smtpWorld.ts"

const messages = 10_000

/** Clients and readers at a time: commits gather, so that the disk is not what is measured. */
const width = 16

describe("10,000 generated messages", () => {
  it.live("arrive once each, verified, as they were written", () =>
    withEngine(Effect.gen(function*() {
      const mailbox = yield* Mailbox
      const send = yield* mailClient(yield* listening({ limits: { maxPerPeer: width } }), width)
      const seeds = new Map<string, number>()

      const write = Effect.fnUntraced(function*(seed: number) {
        const [copy] = yield* writeV2(draftFrom(seed), alice.signer, plain)
        assert.isDefined(copy)
        seeds.set(copy.id, seed)
        yield* send(alice.address, [bob.address], copy.raw)
        return copy
      })

      /** Judges one delivery; false when there is none. */
      const judge = Effect.gen(function*() {
        const leased = yield* mailbox.lease(bob.sender, Duration.minutes(5))
        if (Option.isNone(leased)) return false
        const { id: delivery, receipt } = leased.value
        const raw = yield* wholeOf(Option.getOrThrow(yield* mailbox.raw(bob.sender, delivery)))
        const verdict = yield* read(raw)
        const id = verdict.mail?.id ?? ""
        const seed = seeds.get(id) ?? -1
        const draft = draftFrom(seed)
        assert.strictEqual(verdict.status, "verified", `seed ${seed}: ${verdict.reason}`)
        assert.isTrue(seeds.delete(id), `seed ${seed} came twice`)
        assert.deepInclude(verdict.mail, {
          subject: draft.subject,
          text: canonicalBody(draft.text),
          to: [...new Set(draft.to)],
          from: { address: draft.from.address, name: draft.from.name ?? "" }
        })
        assert.deepStrictEqual(
          verdict.mail?.attachments.map(({ bytes, name }) => [name, Buffer.from(bytes).toString("hex")]),
          (draft.attachments ?? []).map(({ bytes, name }) => [name, Buffer.from(bytes).toString("hex")])
        )
        yield* mailbox.file(bob.sender, receipt, { folder: "dropped", summary: "", content: "" })
        return true
      })

      yield* Effect.forEach(Array.from({ length: messages }, (_, n) => n + 1), write, { concurrency: width })
      assert.strictEqual(seeds.size, messages)
      yield* Effect.forEach(
        Array.from({ length: width }),
        () => Effect.repeat(judge, { until: (more) => !more }),
        { concurrency: width }
      )
      assert.strictEqual(seeds.size, 0)
    })))
})
