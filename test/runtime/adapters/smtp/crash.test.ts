/** `km-smtp` as a process that is killed around its answers: what it acknowledged is there, and once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Result } from "effect"
import { createTransport } from "nodemailer"
import { openStateDirectory, writeInstall } from "../../../../runtime/adapters/disk/StateDirectory.ts"
import type { Install } from "../../../../runtime/domain/install/Install.ts"
import * as EmbeddedEngine from "../../../../runtime/engines/embedded/EmbeddedEngine.ts"
import { bob, certifier, install } from "../../../plugins/email/world.ts"
import { deliverAll } from "../../../support/deliveredMail.ts"
import { smtpProcess } from "../../../support/smtpProcess.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"
import { arrivals, domain, insertParties } from "./smtpWorld.ts"

const settings: Install = {
  version: 1,
  install,
  certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64"),
  bridgeUrl: "http://127.0.0.1:9",
  bridgeHost: "127.0.0.1:9",
  slackApiUrl: "http://127.0.0.1:9/api/",
  mailDomain: domain,
  smtp: { listen: { port: 0 } },
  local: true
}

const message = (n: number): string =>
  `From: a@b.example\r\nTo: ${bob.address}\r\nSubject: ${n}\r\nMessage-ID: <${n}@b.example>\r\n\r\nmessage ${n}\r\n`

const engine = (state: string) => Layer.merge(Layer.fresh(EmbeddedEngine.layer(state)), Logger.layer([]))

describe("km-smtp", () => {
  it.live("loses nothing that it acknowledged, and keeps nothing twice, through kills", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      yield* openStateDirectory(state)
      yield* writeInstall(state, settings)
      yield* Effect.provide(insertParties, engine(state))
      const acknowledged = new Set<number>()
      const tried = new Set<number>()

      const sending = Effect.fnUntraced(
        function*(port: number, numbers: ReadonlyArray<number>, onAnswer: Effect.Effect<void>) {
          const transport = createTransport({
            host: "127.0.0.1",
            port,
            pool: true,
            maxConnections: 4,
            maxMessages: Infinity,
            ignoreTLS: true
          })
          yield* Effect.forEach(numbers, (n) =>
            Effect.gen(function*() {
              tried.add(n)
              const sent = yield* Effect.result(
                Effect.tryPromise(() =>
                  transport.sendMail({ envelope: { from: "a@b.example", to: [bob.address] }, raw: message(n) })
                )
              )
              if (Result.isFailure(sent)) {
                return
              }
              acknowledged.add(n)
              yield* onAnswer
            }), { concurrency: 4, discard: true })
          transport.close()
        }
      )

      for (let round = 0; round < 4; round++) {
        const { kill, port } = yield* smtpProcess(state, "listen")
        const before = acknowledged.size
        // In the middle of its answers: others are on their way when the last of these comes.
        const after = before + 5 + 7 * round
        yield* sending(
          port,
          Array.from({ length: 60 }, (_, n) => round * 60 + n),
          Effect.suspend(() => acknowledged.size >= after ? kill : Effect.void)
        )
        yield* kill
        assert.isAtLeast(acknowledged.size, after)
        assert.isBelow(acknowledged.size - before, 60, "the kill came too late")
      }
      const found = yield* Effect.provide(Effect.andThen(deliverAll, arrivals(bob.sender)), engine(state))
      const numbers = found.map(({ raw }) => Number(/Subject: (\d+)/.exec(Buffer.from(raw).toString())?.[1]))
      assert.strictEqual(new Set(numbers).size, numbers.length, "nothing is there twice")
      assert.deepStrictEqual([...acknowledged].filter((n) => !numbers.includes(n)), [])

      // Mail programs try again what was not answered; some of it had been stored.
      const { port } = yield* smtpProcess(state, "listen")
      const again = [...tried].filter((n) => !acknowledged.has(n))
      yield* sending(port, [...again, ...[...acknowledged].slice(0, 10)], Effect.void)
      assert.strictEqual(acknowledged.size, tried.size)
      const more = yield* Effect.provide(Effect.andThen(deliverAll, arrivals(bob.sender)), engine(state))
      assert.strictEqual(found.length + more.length, tried.size)
    }))
})
