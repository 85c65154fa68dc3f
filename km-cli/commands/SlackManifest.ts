/** `km slack manifest`: the app's manifest on standard output, and on a terminal the page that creates the app of it. */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import process from "node:process"
import { agentPrice, creationLink, manifestOf, maxAppName } from "../../runtime/domain/slack/SlackManifest.ts"
import { settings } from "../Configuration.ts"
import { kmError } from "../KmError.ts"
import { Printed, talk } from "../Output.ts"
import { publicUrlFrom } from "../slack/PublicUrl.ts"

export interface ManifestInput {
  readonly socket: boolean
  readonly http: Option.Option<string>
  readonly agent: boolean
  readonly private: boolean
  readonly name: Option.Option<string>
}

export const slackManifest = Effect.fn("km.slack.manifest")(function*(input: ManifestInput) {
  if (input.socket && Option.isSome(input.http)) {
    return yield* kmError(
      "KM-CLI-001",
      "--socket and --http exclude each other",
      "an app receives events by one of them"
    )
  }
  const config = yield* settings
  const publicUrl = Option.isSome(input.http)
    ? yield* publicUrlFrom(input.http.value, "--http")
    : input.socket
    ? undefined
    : config.bridge.publicUrl
  const name = Option.getOrElse(input.name, () => config.install as string).trim()
  if (name === "" || name.length > maxAppName || /[\p{Cc}\p{Cf}]/u.test(name)) {
    return yield* kmError("KM-CLI-001", "--name cannot be used", `an app's name has 1 to ${maxAppName} characters`)
  }
  const manifest = manifestOf({
    name,
    agent: input.agent,
    privateChannels: input.private,
    ...(publicUrl === undefined ? {} : { publicUrl })
  })
  // The same document with and without --json: it is what Slack takes.
  const printed = yield* Printed
  printed.json = true
  yield* Console.log(JSON.stringify(manifest, undefined, 2))
  if (input.agent) yield* talk(agentPrice)
  if (process.stderr.isTTY !== true) return
  const { filled, url } = creationLink(manifest)
  yield* talk(filled ? `create the app: ${url}` : `create the app from the manifest above: ${url}`)
  yield* talk(
    publicUrl === undefined
      ? "then: install it, copy its xoxb- token (OAuth & Permissions), generate an xapp- token with connections:write " +
        "(Basic Information), and run km slack init"
      : "then: install it, copy its xoxb- token (OAuth & Permissions) and its signing secret (Basic Information), and " +
        "run km slack init"
  )
})
