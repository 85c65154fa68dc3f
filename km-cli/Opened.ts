/** What most commands begin with: the settings, and the install they name. */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Install } from "../runtime/domain/install/Install.ts"
import { type Backend, Backends } from "./Backend.ts"
import { settings } from "./Configuration.ts"
import { kmError } from "./KmError.ts"
import * as UpFile from "./up/UpFile.ts"

/** Touches nothing on disk but the configuration file. */
export const opened = Effect.gen(function*() {
  const config = yield* settings
  const backend = yield* (yield* Backends).open(config.state, { install: config.install, ...config.engine })
  return { config, backend }
})

/** True when the bridge answers its health check within 2 s. */
export const bridgeAnswers = (install: Install) =>
  HttpClient.HttpClient.pipe(
    Effect.flatMap((http) => http.get(`${install.bridgeUrl}/healthz`)),
    Effect.map((response) => response.status === 200),
    Effect.timeoutOrElse({ duration: "2 seconds", orElse: () => Effect.succeed(false) }),
    Effect.orElseSucceed(() => false),
    Effect.provide(FetchHttpClient.layer)
  )

/** A `km up` that is still starting is waited for. */
const startsWithin = "45 seconds"

/** Fails with KM-CLI-026 when the bridge does not answer; while `km up` starts, not before it has had its time. */
export const needBridge = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  const answering = Effect.gen(function*() {
    if (yield* bridgeAnswers(install)) return true
    const up = yield* UpFile.running(backend.paths.run)
    return Option.isSome(up) && !up.value.ready ? yield* Effect.fail("starting" as const) : false
  })
  const answers = yield* answering.pipe(
    Effect.retry(Schedule.spaced("200 millis")),
    Effect.timeoutOrElse({ duration: startsWithin, orElse: () => Effect.succeed(false) }),
    Effect.orElseSucceed(() => false)
  )
  if (answers) return
  return yield* kmError(
    "KM-CLI-026",
    "the bridge does not answer",
    `nothing healthy at ${install.bridgeUrl}`,
    "km up --detach"
  )
})
