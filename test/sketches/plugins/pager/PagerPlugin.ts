/** A chat platform as one folder: what its turns are made of is known here alone. Rings once, and notes what came of it. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import { GroupId, TurnKey } from "../../../../runtime/domain/sandbox/Ids.ts"
import { visibleOutcome } from "../../../../runtime/domain/turn/OutcomeText.ts"
import type { TurnOrigin } from "../../../../runtime/domain/turn/Turn.ts"
import { personFrame } from "../../../../runtime/domain/turn/TurnFrame.ts"
import { type OriginHandler, type Plugin, PluginId } from "../../../../runtime/ports/Plugin.ts"
import { SandboxInfo } from "../../../../runtime/ports/SandboxInfo.ts"
import { Turns } from "../../../../runtime/ports/Turns.ts"

const kind = "pager"

const Call = Schema.Struct({ number: Schema.Int, caller: Schema.String })
const decodeCall = Schema.decodeUnknownOption(Call)

const callOf = (origin: TurnOrigin): typeof Call.Type =>
  Option.getOrThrow(decodeCall(origin.kind === "plugin" && origin.of === kind ? origin.data : undefined))

export const PagerPlugin: Plugin<unknown, SandboxInfo | Turns> = {
  id: PluginId.make(kind),
  after: [],
  essential: false,
  enabled: () => true,
  config: Schema.Unknown,
  configure: () => undefined,
  start: Effect.fn("PagerPlugin.start")(function*() {
    const { directories } = yield* SandboxInfo
    const turns = yield* Turns

    const ring = Effect.gen(function*() {
      const call: typeof Call.Type = { number: 17, caller: "Grace" }
      const request = {
        key: TurnKey.make(`pager:${call.number}`),
        group: GroupId.make("pager"),
        origin: { kind: "plugin" as const, of: kind, label: call.caller, data: call },
        text: "ring ring",
        title: "A pager rang",
        files: [],
        acceptedAt: yield* Clock.currentTimeMillis
      }
      yield* Effect.orDie(turns.submit(request, undefined))
      return yield* Effect.never
    })

    const origin: OriginHandler = {
      kind,
      environment: () => ({}),
      frame: ({ request: { acceptedAt, files, origin: from } }) =>
        Effect.succeed(personFrame({ sender: callOf(from).caller, place: "a pager", acceptedAt, files })),
      session: () => Effect.undefined,
      starting: () => Effect.void,
      settle: (row) =>
        Effect.sync(() => {
          const { caller, number } = callOf(row.request.origin)
          const text = `${caller} ${number}: ${visibleOutcome(row, (words) => words)}\n`
          fs.writeFileSync(path.join(directories.state, "pager.txt"), text)
          return []
        }),
      remember: () => Effect.void,
      mark: () => Effect.void,
      finish: () => Effect.void
    }
    return { run: ring, origin }
  })
}
