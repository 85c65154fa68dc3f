/**
 * Each process as its unit shows it the state directory: `secrets/` holds its own part and nothing else, by the kernel.
 * All of them together still do their work.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fs from "node:fs"
import process from "node:process"
import { unitsOf } from "../../km-cli/systemd/Units.ts"
import { readInstall, statePaths, writeInstall } from "../../runtime/adapters/disk/StateDirectory.ts"
import { relayPasswordPath } from "../../runtime/domain/mail/SmtpSettings.ts"
import { bundled } from "../support/bundled.ts"
import { profileWith } from "../support/profiles.ts"
import { makeStack, startProgram } from "../support/Stack.ts"
import { untilReal } from "../support/untilReal.ts"

/** Short-lived, so that the control plane has something to end. */
const brief = profileWith(
  { notifySlackEnabled: true, notifySlackPerSandbox: true, notifySlackInboundEnabled: true },
  { lifecycle: { ttl: "30s" } }
)

/** bubblewrap with the mounts of the unit; of the runtime's those of all sandboxes but the operator. */
const walled = (state: string, name: string) => {
  const unit = unitsOf({
    node: process.execPath,
    programs: { bridge: "/b", control: "/c", runtime: "/r", smtp: "/s" },
    stateDirectory: state,
    user: "km",
    unattendedCertifier: false,
    mailIn: true,
    mailOut: true
  }).find((one) => one.name.startsWith(name))?.text ?? ""
  const { secrets } = statePaths(state)
  assert.include(unit, `TemporaryFileSystem=${secrets}:ro`)
  const mounts = [...unit.matchAll(/^(BindPaths|BindReadOnlyPaths)=-(.*)$/gm)].flatMap(([, how, raw = ""]) => {
    const file = raw.replace("/%i", "")
    return [how === "BindPaths" ? "--bind-try" : "--ro-bind-try", file, file]
  })
  const hidden = name === "km-runtime" ? ["--perms", "0700", "--tmpfs", `${secrets}/sandbox/operator`] : []
  return {
    command: "bwrap",
    args: [
      "--dev-bind",
      "/",
      "/",
      "--die-with-parent",
      "--perms",
      "0700",
      "--tmpfs",
      secrets,
      ...mounts,
      ...hidden,
      process.execPath
    ]
  }
}

describe("processes that see their own secrets only", () => {
  it.live("answer a message, end a sandbox, take and give mail", () =>
    Effect.gen(function*() {
      const stack = yield* makeStack({ engine: (program, state) => walled(state, `km-${program}`) })
      const { state } = stack
      const { secrets } = statePaths(state)
      yield* writeInstall(state, {
        ...yield* readInstall(state),
        mailDomain: "km.example",
        smtp: {
          listen: { port: 0 },
          relay: { host: "127.0.0.1", port: 9, user: "km", allowPlain: true }
        }
      })
      yield* Effect.sync(() => {
        for (const path of [relayPasswordPath, "model/anthropic-api-key", "bridge/directory-pin"]) {
          fs.mkdirSync(`${secrets}/${path}`, { recursive: true, mode: 0o700 })
          fs.writeFileSync(`${secrets}/${path}/v1`, "0", { mode: 0o600 })
        }
      })
      const started = (name: string, ...args: ReadonlyArray<string>) => {
        const { args: before, command } = walled(state, name)
        return startProgram({
          command,
          args: [...before, ...args],
          env: { KM_STATE: state },
          readyWhen: /"ready":\s*true/
        })
      }
      yield* stack.startBridge
      yield* stack.startRuntime
      const control = yield* started("km-control", bundled("km-control.mjs"))
      yield* started("km-mail-in", bundled("km-smtp.mjs"), "listen")
      yield* started("km-mail-out", bundled("km-smtp.mjs"), "relay")

      const sandbox = yield* stack.sandbox(brief)
      const ts = yield* sandbox.say("script:text here I am")
      yield* sandbox.untilReaction(ts, "white_check_mark")
      const own = `${secrets}/sandbox/${sandbox.row.id}`
      assert.isTrue(fs.existsSync(own))
      yield* untilReal("its secrets are gone", Effect.sync(() => !fs.existsSync(own)))
      yield* untilReal("it is destroyed", Effect.sync(() => control.log().includes("sandbox destroyed")))
      assert.isTrue(fs.existsSync(`${secrets}/sandbox/operator/signing-key/v1`))
    }).pipe(Effect.scoped))

  it.live("without its part a process does not do its work", () =>
    Effect.gen(function*() {
      const { state } = yield* makeStack()
      const { args, command } = walled(state, "km-mail-in")
      const failed = yield* Effect.exit(startProgram({
        command,
        args: [...args, bundled("km-control.mjs")],
        env: { KM_STATE: state },
        readyWhen: /"ready":\s*true/
      }))
      assert.include(String(failed), "sandbox/operator/signing-key")
    }).pipe(Effect.scoped))
})
