/** `km slack init` killed after each of its steps: the next run continues, and nothing is made or sent twice. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { km, kmStarted } from "../../support/KmProcess.ts"
import { temporaryDirectory } from "../../support/ScriptedModel.ts"
import { testWorkspace } from "../../support/Workspace.ts"

const steps = [
  "install",
  "bot token",
  "scopes",
  "app",
  "stored",
  "shared channel",
  "invitation",
  "metadata"
]

describe("km slack init, killed", () => {
  it.live("after each step, is continued by the next run", () =>
    Effect.gen(function*() {
      const state = yield* temporaryDirectory
      const workspace = yield* testWorkspace()
      const env = {
        CI: "1",
        KM_SLACK_API_URL: workspace.apiUrl,
        KM_SLACK_BOT_TOKEN: workspace.botToken,
        KM_SLACK_SIGNING_SECRET: workspace.signingSecret
      }
      const args = ["slack", "init", "--invite-email", "ada@lab.test", "--no-start"]
      for (const step of steps) {
        yield* Effect.scoped(Effect.gen(function*() {
          const run = yield* kmStarted(state, args, env)
          // The line is written when the step is done; what comes after it is cut off wherever it is.
          const killed = new Promise<void>((resolve) => {
            run.child.stderr?.on("data", () => {
              if (run.err().includes(`✓ ${step}`)) {
                run.child.kill("SIGKILL")
                resolve()
              }
            })
          })
          yield* Effect.promise(() => Promise.race([killed, run.ended]))
          yield* Effect.promise(() => run.ended)
          assert.include(run.err(), `✓ ${step}`)
        }))
        const file = path.join(state, "install.json")
        if (existsSync(file)) assert.isBoolean((JSON.parse(readFileSync(file, "utf8")) as { local: unknown }).local)
      }
      const last = yield* km(state, [...args, "--json"], env)
      assert.strictEqual(last.exit, 0, last.err)
      const { sharedChannel, steps: reports } = JSON.parse(last.out) as {
        readonly sharedChannel: { readonly id: string }
        readonly steps: ReadonlyArray<{ readonly step: string; readonly outcome: string }>
      }
      assert.deepStrictEqual(reports.filter(({ outcome }) => outcome === "failed"), [])
      const channels = (yield* workspace.channels).filter(({ name }) => name.startsWith("km-notifications"))
      assert.deepStrictEqual(channels.map(({ id }) => id), [sharedChannel.id])
      const texts = (yield* workspace.messages(sharedChannel.id)).map(({ message }) => String(message["text"]))
      assert.deepStrictEqual(texts.filter((text) => text.includes("km checks")), [])
      // The tokens come from the store now.
      const again = yield* km(state, args, { CI: "1", KM_SLACK_API_URL: "http://127.0.0.1:9/api/" })
      assert.strictEqual(again.exit, 0, again.err)
    }).pipe(Effect.scoped))

  it.live("a taken name, a connected address and a free plan are told and stop nothing", () =>
    Effect.gen(function*() {
      const workspace = yield* testWorkspace()
      const env = {
        CI: "1",
        KM_SLACK_API_URL: workspace.apiUrl,
        KM_SLACK_BOT_TOKEN: workspace.botToken,
        KM_SLACK_SIGNING_SECRET: workspace.signingSecret
      }
      const told = Effect.fnUntraced(
        function*(method: string, error: string, code: string, ...more: ReadonlyArray<string>) {
          const state = yield* temporaryDirectory
          yield* workspace.faults.add({ method, times: 1, fault: { kind: "refuse", error } })
          const run = yield* km(state, ["slack", "init", "--no-start", "--json", ...more], env)
          assert.strictEqual(run.exit, 0, run.err)
          const { steps: reports } = JSON.parse(run.out) as {
            readonly steps: ReadonlyArray<{ readonly outcome: string; readonly code?: string; readonly next?: string }>
          }
          const failed = reports.filter(({ outcome }) => outcome === "failed")
          assert.strictEqual(failed[0]?.code, code, run.err)
          assert.match(failed[0]?.next ?? "", /\S/)
        }
      )
      const eve = ["--invite-email", "eve@elsewhere.test"]
      yield* told("conversations.create", "restricted_action", "KM-SLK-132")
      yield* told("conversations.create", "name_taken", "KM-SLK-117", "--shared-channel", "somebody-elses")
      yield* told("conversations.inviteShared", "not_paid", "KM-SLK-131", ...eve)
      yield* told("conversations.inviteShared", "invalid_email", "KM-SLK-118", ...eve)
    }).pipe(Effect.scoped))
})
