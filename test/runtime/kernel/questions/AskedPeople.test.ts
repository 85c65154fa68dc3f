import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger } from "effect"
import type { Profile } from "../../../../runtime/domain/profile/Profile.ts"
import { ChannelId, InstallName, SandboxId, SessionId } from "../../../../runtime/domain/sandbox/Ids.ts"
import * as AskedPeople from "../../../../runtime/kernel/questions/AskedPeople.ts"
import { receivedRow } from "../../../../runtime/kernel/turns/TurnMachine.ts"
import { Ledger } from "../../../../runtime/ports/Ledger.ts"
import * as MemoryControls from "../../../../runtime/ports/memory/MemoryControls.ts"
import * as MemoryLedger from "../../../../runtime/ports/memory/MemoryLedger.ts"
import { Permissions } from "../../../../runtime/ports/Permissions.ts"
import { Redaction } from "../../../../runtime/ports/Redaction.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { StoreError } from "../../../../runtime/ports/StoreError.ts"
import { profileWith } from "../../../support/profiles.ts"
import { recordingBridge } from "../../../support/RecordingBridge.ts"
import { slackRequest } from "../../../support/turnRows.ts"

const profile = (rules: Profile["spec"]["agent"]["permissionRules"]): Profile =>
  profileWith({}, { agent: { permissions: "ask", permissionRules: rules } })

const session = SessionId.make("0b0e6a40-1111-4222-8333-444444444444")

const consent = Effect.fnUntraced(function*(options: {
  readonly rules?: Profile["spec"]["agent"]["permissionRules"]
  readonly channel?: ChannelId
  readonly operator?: boolean
  readonly refuse?: Parameters<typeof recordingBridge>[0]
  readonly ledger?: Layer.Layer<Ledger>
}) {
  const bridge = recordingBridge(options.refuse)
  const request = slackRequest(1)
  const row = {
    ...receivedRow(
      options.operator === true ? { ...request, origin: { kind: "operator", label: "x" } } : request,
      undefined,
      0
    ),
    session
  }
  const layer = AskedPeople.layer.pipe(Layer.provide(Layer.mergeAll(
    bridge.layer,
    MemoryControls.layer,
    options.ledger ?? MemoryLedger.layer,
    Redaction.layer,
    Logger.layer([]),
    Layer.succeed(SandboxInfo)(SandboxInfo.of({
      id: SandboxId.make("sb-00000001"),
      install: InstallName.make("km"),
      profile: profile(options.rules ?? []),
      channel: options.channel,
      label: "demo",
      directories: { state: "/s", home: "/h", workspace: "/w", runs: "/r" }
    }))
  )))
  const answer = yield* Effect.gen(function*() {
    const permissions = yield* Permissions
    return yield* permissions.consent({
      row,
      call: { id: "toolu_1", tool: "Bash", input: { command: "rm -rf x" } },
      waiting: (asked) => asked
    })
  }).pipe(Effect.provide(layer))
  return { answer, calls: bridge.calls }
})

describe("whether a call may run", () => {
  it.effect("rules that settle it ask nobody", () =>
    Effect.gen(function*() {
      const allowed = yield* consent({ rules: [{ tool: "Bash", verdict: "allow" }] })
      assert.deepStrictEqual(allowed, { answer: { _tag: "Given" }, calls: [] })
      const denied = yield* consent({
        rules: [{ tool: "*", verdict: "allow" }, { tool: "Bash", command: "rm *", verdict: "deny" }]
      })
      assert.lengthOf(denied.calls, 0)
      assert.include(JSON.stringify(denied.answer), "Bash (rm *)")
    }))

  it.effect("where nobody can be asked it is denied: no channel, a bridge that refuses, a ledger that is full", () =>
    Effect.gen(function*() {
      const nowhere = yield* consent({ operator: true })
      assert.include(JSON.stringify(nowhere.answer), "no channel")
      const archived = yield* consent({
        operator: true,
        channel: ChannelId.make("C0TEST001"),
        refuse: { refuse: () => "is_archived" }
      })
      assert.deepStrictEqual(archived.calls.map(({ action }) => action.action), ["ask"])
      assert.include(JSON.stringify(archived.answer), "is_archived")
      const full = yield* consent({
        ledger: Layer.mock(Ledger, {
          recall: () =>
            Effect.fail(
              new StoreError({ port: "Ledger", operation: "recall", reason: "Full", detail: "", cause: "full" })
            )
        })
      })
      assert.lengthOf(full.calls, 0)
      assert.strictEqual(full.answer._tag, "Denied")
    }))

  it.effect("without anybody who implements it, nothing is allowed", () =>
    Effect.gen(function*() {
      const permissions = yield* Permissions
      const answer = yield* permissions.consent({
        row: receivedRow(slackRequest(1), undefined, 0),
        call: { id: "x", tool: "Read", input: {} },
        waiting: (asked) => asked
      })
      assert.strictEqual(answer._tag, "Denied")
    }))
})
