import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import { make } from "../../../../runtime/adapters/notify/SystemdNotify.ts"
import { temporaryDirectory } from "../../../support/temporaryDirectory.ts"

/** A program in `systemd-notify`'s place that writes down its arguments and what it was told of the socket. */
const recorder = Effect.map(temporaryDirectory, (directory) => {
  const said = path.join(directory, "said")
  const program = path.join(directory, "notify")
  fs.writeFileSync(program, `#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> ${said}\n`, { mode: 0o700 })
  return { program, lines: () => fs.existsSync(said) ? fs.readFileSync(said, "utf8").trim().split("\n") : [] }
})

const withSocket = (socket: Record<string, string>) => ConfigProvider.layer(ConfigProvider.fromUnknown(socket))

describe("SystemdNotify", () => {
  it.live("says READY once, for this process, and takes the socket out of the environment", () =>
    Effect.gen(function*() {
      const { lines, program } = yield* recorder
      process.env["NOTIFY_SOCKET"] = "/run/socket"
      const notifier = yield* make(program).pipe(Effect.provide(withSocket({ NOTIFY_SOCKET: "/run/socket" })))
      assert.isUndefined(process.env["NOTIFY_SOCKET"])
      yield* notifier.ready
      yield* notifier.ready
      yield* notifier.status("two\nlines")
      yield* notifier.stopping
      assert.deepStrictEqual(lines(), [
        `/run/socket --ready --pid=${process.pid}`,
        "/run/socket --status=two lines",
        "/run/socket STOPPING=1"
      ])
    }))

  it.live("is silent without a socket, and a missing program is no failure", () =>
    Effect.gen(function*() {
      const { lines, program } = yield* recorder
      const silent = yield* make(program).pipe(Effect.provide(withSocket({})))
      yield* silent.ready
      assert.deepStrictEqual(lines(), [])
      const broken = yield* make("/nonexistent/notify").pipe(
        Effect.provide(withSocket({ NOTIFY_SOCKET: "/run/socket" }))
      )
      yield* broken.ready
    }))
})
