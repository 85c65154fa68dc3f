/** In the jail the agent's hooks reach the runtime's listener: those by http, and SessionStart by `km-hook`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, PubSub } from "effect"
import * as Fs from "node:fs"
import { agentSettings } from "../../hooks/Settings.ts"
import * as HookListener from "../../runtime/adapters/hooks/HookListener.ts"
import { Jail } from "../../runtime/adapters/jail/Bubblewrap.ts"
import { doorOrigin, doorPorts } from "../../runtime/adapters/jail/Doors.ts"
import { HookEvents } from "../../runtime/ports/HookEvents.ts"
import { bundled } from "../support/bundled.ts"
import { networkOf, runOf, scriptedAgent } from "../support/ScriptedModel.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"

const kmHook = bundled("km-hook.cjs")

describe("hooks from the jail", () => {
  it.live.each(["none", "shared"] as const)(
    "arrive from the first to the last (network %s)",
    (mode) =>
      Effect.gen(function*() {
        const stateDirectory = yield* temporaryDirectory
        const listener = yield* Layer.build(HookListener.layer({ stateDirectory }))
        const endpoint = yield* Effect.provide(HookListener.HookEndpoint, listener)
        const hooks = yield* Effect.provide(HookEvents, listener)
        const received = yield* hooks.subscribe
        const node = Fs.realpathSync(process.execPath)
        const { agent, directories } = yield* scriptedAgent({
          jail: Jail.layer,
          readOnly: [node, kmHook],
          network: networkOf(
            mode,
            (run) => [{ name: "hooks", port: doorPorts.hooks, attach: (made) => endpoint.attach(made, run.session) }]
          ),
          settings: (run) =>
            Effect.map(hooks.issue(run.session), ({ token }) => ({
              ...agentSettings({
                listener: mode === "none" ? doorOrigin("hooks") : endpoint.origin,
                token,
                hookCommand: [node, kmHook],
                toolHooks: true
              })
            }))
        })
        const run = runOf(directories, "script:tools:1")
        const outcome = yield* Effect.flatMap(agent.start(run), (process) => process.outcome)
        assert.strictEqual(outcome._tag, "Answered")
        const events = yield* PubSub.takeAll(received)
        assert.deepStrictEqual(events.map(({ event }) => event.hook_event_name), [
          "SessionStart",
          "UserPromptSubmit",
          "PostToolUse",
          "MessageDisplay",
          "Stop",
          "SessionEnd"
        ])
        for (const { dispatched, event } of events) {
          assert.isTrue(dispatched, event.hook_event_name)
          assert.strictEqual(event.session_id, run.session)
        }
      })
  )
})
