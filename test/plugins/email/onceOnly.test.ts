/** A runtime that dies between delivery and answer: the program that waits for it asks again, and nothing comes twice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { connect, createServer, type Server, type Socket } from "node:net"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { statePaths } from "../../../runtime/adapters/disk/StateDirectory.ts"
import { mailDirectory, mailProgram } from "../../support/mailPrograms.ts"
import { startStack } from "../../support/Stack.ts"
import { untilReal } from "../../support/untilReal.ts"

/** Between program and runtime: keeps the first answer back and says that it was about to come. */
const swallowing = (front: string, behind: string) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: Server; readonly answers: () => number }>((resume) => {
      let answers = 0
      const server = createServer({ allowHalfOpen: true }, (client: Socket) => {
        const runtime = connect({ path: behind, allowHalfOpen: true })
        client.pipe(runtime)
        client.on("error", () => runtime.destroy())
        runtime.on("error", () => client.destroy())
        runtime.on("close", () => client.destroySoon())
        runtime.on("data", (chunk: Buffer) => {
          answers++
          if (answers > 1) return void client.write(chunk)
          runtime.pause()
        })
      })
      server.listen(front, () => resume(Effect.succeed({ server, answers: () => answers })))
    }),
    ({ server }) => Effect.sync(() => void server.close())
  )

describe("km-send and a runtime that is killed", () => {
  it.live(
    "before it takes the message, or after it has and before it says so: one message, one id, one delivery",
    () =>
      Effect.gen(function*() {
        const stack = yield* startStack()
        const ada = (yield* stack.sandbox()).row.id
        const bob = (yield* stack.sandbox()).row.id
        const eve = (yield* stack.sandbox()).row.id
        const paths = statePaths(stack.state)
        const { directory } = paths.sandbox(ada)
        const args = (subject: string) => ["--to", bob, "--bcc", eve, "--subject", subject, "--json"]
        const socket = path.join(path.dirname(stack.state), "swallowing.sock")
        const between = yield* swallowing(socket, path.join(mailDirectory(directory), "mail.sock"))
        const database = new DatabaseSync(paths.database, { readOnly: true })
        const delivered = () =>
          database.prepare("SELECT owner, id FROM mail ORDER BY seq").all().map(({ owner }) => String(owner))

        const after = yield* Effect.forkScoped(mailProgram(directory, "km-send", args("after"), "text", socket))
        yield* untilReal("the runtime has answered", Effect.sync(() => between.answers() === 1))
        // Taken is not delivered yet: that is the courier's, in another process.
        yield* untilReal("both have it", Effect.sync(() => delivered().length >= 2))
        assert.deepStrictEqual(delivered(), [bob, eve])
        yield* stack.runtime.kill9
        const second = yield* stack.startRuntime
        const sent = yield* Fiber.join(after)
        assert.strictEqual(sent.exit, 0, sent.err)
        assert.match(sent.err, /trying again/)
        assert.deepStrictEqual(delivered(), [bob, eve])

        // Nobody is there when the program starts.
        yield* second.kill9
        const before = yield* Effect.forkScoped(mailProgram(directory, "km-send", args("before"), "text"))
        yield* stack.startRuntime
        const waited = yield* Fiber.join(before)
        assert.strictEqual(waited.exit, 0, waited.err)
        yield* untilReal("both have the other one", Effect.sync(() => delivered().length >= 4))
        assert.deepStrictEqual(delivered(), [bob, eve, bob, eve])

        for (const who of [bob, eve]) {
          const read = yield* mailProgram(paths.sandbox(who).directory, "km-recv", [
            "--json",
            "--wait",
            "300",
            "--subject",
            "after"
          ])
          const messages = JSON.parse(read.out.toString()) as ReadonlyArray<Record<string, unknown>>
          assert.deepStrictEqual(messages.map(({ id, status }) => [id, status]), [
            [(JSON.parse(sent.out.toString()) as { readonly id: string }).id, "verified"]
          ])
        }
        database.close()
      })
  )
})
