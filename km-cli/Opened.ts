/** What most commands begin with: the settings, and the install they name. */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import type { Install } from "../runtime/domain/Install.ts"
import { Backends } from "./Backend.ts"
import { settings } from "./Configuration.ts"
import { kmError } from "./KmError.ts"

/** Touches nothing on disk but the configuration file. */
export const opened = Effect.gen(function*() {
  const config = yield* settings
  const backend = yield* (yield* Backends).open(config.state)
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

/** Fails with KM-CLI-007 when the bridge does not answer. */
export const needBridge = Effect.fnUntraced(function*(install: Install) {
  if (yield* bridgeAnswers(install)) return
  return yield* kmError("KM-CLI-007", "the bridge does not answer", `nothing healthy at ${install.bridgeUrl}`)
})
