/** `km up`: the whole install in the foreground, until Ctrl-C; `km down` ends it from elsewhere. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import process from "node:process"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { data, JsonFlag, serving, talk } from "../Output.ts"
import { firstCreate } from "../Programs.ts"
import { type Running, up as runUp } from "../up/Up.ts"
import * as UpFile from "../up/UpFile.ts"

const scriptedNotice =
  "The model is scripted: nothing reads your messages. Set ANTHROPIC_API_KEY and start again to talk to a real one."

const announce = Effect.fnUntraced(function*(running: Running, state: string) {
  const { credentials, install, modelScripted } = running
  if (yield* JsonFlag) {
    return yield* Console.log(JSON.stringify({
      ok: true,
      ready: true,
      install: install.install,
      bridgeUrl: install.bridgeUrl,
      ...(credentials === undefined ? {} : { workspaceUrl: credentials.url }),
      modelScripted,
      state
    }))
  }
  yield* data(
    [
      `install    ${install.install} in ${state}`,
      credentials === undefined
        ? `slack      ${install.slackApiUrl}${install.teamId === undefined ? "" : `, workspace ${install.teamId}`}`
        : `workspace  ${credentials.url}  (what Slack would show)`,
      `bridge     ${install.bridgeUrl}`,
      `model      ${modelScripted ? "scripted" : "Anthropic, through the model door"}`
    ],
    {}
  )
  if (modelScripted) yield* talk(scriptedNotice)
  yield* talk("Everything here is one trust domain: whoever can read the state directory owns the install.")
  yield* talk(`next: ${firstCreate()}, then km chat demo "hello"; Ctrl-C ends`)
})

export const up = Effect.fn("km.up")(function*(input: { readonly scripted: boolean; readonly socket: boolean }) {
  const { backend, config } = yield* opened
  const json = yield* JsonFlag
  // Not only once it is ready: `km down` ends a start as well.
  yield* serving
  return yield* runUp(
    {
      backend,
      install: config.install,
      forceScripted: input.scripted,
      socketMode: input.socket,
      ephemeral: false,
      unattendedCertifier: config.unattendedCertifier,
      environment: process.env
    },
    (running) => Effect.provideService(announce(running, backend.paths.root), JsonFlag, json)
  )
})

/** Above the runtime's drain and the other parts' grace. */
const downWithin = "80 seconds"

export const down = Effect.fn("km.down")(function*() {
  const { backend } = yield* opened
  const found = yield* UpFile.running(backend.paths.run)
  if (Option.isNone(found)) {
    return yield* kmError("KM-CLI-007", "nothing to end", `km up is not running for ${backend.paths.root}`)
  }
  const { supervisor } = found.value
  yield* talk(`ending km up (process ${supervisor.pid}); turns in hand are finished first`)
  yield* UpFile.signal(supervisor, "SIGTERM")
  const gone = Effect.suspend(() => UpFile.isAlive(supervisor) ? Effect.fail("alive" as const) : Effect.void)
  yield* gone.pipe(
    Effect.retry(Schedule.spaced("100 millis")),
    Effect.mapError(() => kmError("KM-CLI-033", "km up did not end", "")),
    Effect.timeoutOrElse({
      duration: downWithin,
      orElse: () =>
        Effect.fail(kmError("KM-CLI-033", "km up did not end", `process ${supervisor.pid} is still there`, "km logs"))
    })
  )
  yield* data(["km up has ended"], { ok: true, pid: supervisor.pid })
})
