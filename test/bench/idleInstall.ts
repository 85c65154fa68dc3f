/** An install with idle sandboxes, started from `dist/`, for the benches that look at what it costs. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as path from "node:path"
import { readCredentials } from "../../km-cli/local/workspace/Credentials.ts"
import { readInstall, statePaths } from "../../runtime/adapters/disk/StateDirectory.ts"
import { ChannelId, SandboxId } from "../../runtime/domain/sandbox/Ids.ts"
import { noticePrefix } from "../../runtime/domain/sandbox/Notice.ts"
import * as EmbeddedEngine from "../../runtime/engines/embedded/EmbeddedEngine.ts"
import * as FileSecrets from "../../runtime/engines/embedded/FileSecrets.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { Facts } from "../../runtime/ports/Facts.ts"
import { GithubApps } from "../../runtime/ports/GithubApps.ts"
import * as MemoryInstallStore from "../../runtime/ports/memory/MemoryInstallStore.ts"
import * as EmbeddedHost from "../../runtime/substrates/process/EmbeddedHost.ts"
import { slackProfile } from "../support/profiles.ts"
import { claudeCommand } from "../support/ScriptedModel.ts"

/** From the last start to the first look: leases, channels and the first collections of garbage are over. */
export const calmMillis = 10_000

export const wait = (millis: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, millis))

const Answer = Schema.Struct({
  ok: Schema.Boolean,
  error: Schema.optionalKey(Schema.String),
  channel: Schema.optionalKey(Schema.Struct({ id: Schema.String }))
})

/** Calls a method of the local workspace; Slack's limits hold for it as for everybody. */
const slack = async (
  apiUrl: string,
  token: string,
  method: string,
  args: Record<string, string>
): Promise<typeof Answer.Type> => {
  const response = await fetch(`${apiUrl}${method}`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
    body: new URLSearchParams(args)
  })
  if (response.status === 429) {
    await wait(1_000 * Number(response.headers.get("retry-after") ?? "1"))
    return slack(apiUrl, token, method, args)
  }
  const answer = Schema.decodeUnknownSync(Answer)(await response.json())
  if (!answer.ok) throw new Error(`${method} was refused: ${response.status} ${answer.error}`)
  return answer
}

/**
 * Channels with the bot in them. Slack lets one user make 20 a minute, so that everybody makes some: what is measured is
 * the idle time after it.
 */
export const makeChannels = async (run: string, sandboxes: number) => {
  const credentials = await Effect.runPromise(
    Effect.provide(
      readCredentials(path.join(run, "workspace.json")),
      NodeServices.layer
    )
  )
  const makers = [credentials.botToken, ...Object.values(credentials.people).map(({ token }) => token)]
  const made: Array<ChannelId> = []
  for (let n = 0; n < sandboxes; n++) {
    const token = makers[n % makers.length] ?? credentials.botToken
    const { channel } = await slack(credentials.apiUrl, token, "conversations.create", { name: `sb-idle-${n}` })
    if (channel === undefined) throw new Error("a channel without an id")
    if (token !== credentials.botToken) {
      await slack(credentials.apiUrl, token, "conversations.invite", {
        channel: channel.id,
        users: credentials.botUserId
      })
    }
    made.push(ChannelId.make(channel.id))
  }
  return made
}

/** The real provisioning, but for the channels, which are there already. */
export const createAll = (state: string, channels: ReadonlyArray<ChannelId>) => {
  const given = new Map(channels.map((channel, n) => [`sb-0000${String(n).padStart(4, "0")}`, channel]))
  const bridge = Layer.succeed(
    Bridge,
    Bridge.of({
      call: ({ action }) =>
        Effect.succeed({
          ok: true as const,
          ...(action.action === "channel.ensure"
            ? {
              channel: {
                id: given.get(action.sandbox) ?? ChannelId.make("C00000000"),
                name: action.name,
                created: true,
                warnings: []
              }
            }
            : {})
        })
    })
  )
  const ports = Layer.merge(
    EmbeddedEngine.layer(state, { check: false }),
    FileSecrets.layer(statePaths(state).secrets)
  )
  const control = Provisioning.layer.pipe(
    Layer.provideMerge(Teardown.layer),
    Layer.provideMerge(
      Layer.mergeAll(
        bridge,
        EmbeddedHost.layer(state),
        GithubApps.layerNone,
        MemoryInstallStore.layerOver(MemoryInstallStore.makeMemoryInstallState())
      )
    ),
    Layer.provideMerge(ports)
  )
  return Effect.gen(function*() {
    const provisioning = yield* Provisioning
    const { install } = yield* readInstall(state)
    yield* Effect.forEach([...given.keys()], (id) =>
      provisioning.create({
        id: SandboxId.make(id),
        install,
        alias: undefined,
        profile: slackProfile,
        unconfined: true,
        readyWithin: Duration.seconds(90)
      }), { concurrency: 10, discard: true })
  }).pipe(Effect.provide(control))
}

/** Returns once everybody was told that each sandbox is there and ready: until then they are not idle. */
export const allTold = async (state: string, sandboxes: number): Promise<void> => {
  const told = Effect.flatMap(Facts, (facts) => facts.list(noticePrefix)).pipe(
    Effect.map((facts) => facts.length >= 2 * sandboxes && facts.every(({ value }) => !value.includes("\"due\""))),
    Effect.provide(EmbeddedEngine.layer(state, { check: false }))
  )
  const until = Date.now() + 300_000
  while (!(await Effect.runPromise(told))) {
    if (Date.now() > until) throw new Error("the notices of the sandboxes were not told within five minutes")
    await wait(2_000)
  }
}

/** Returns once `km up` says that everything is healthy. */
export const startUp = async (state: string, dist: string): Promise<ChildProcess> => {
  const child = spawn(process.execPath, [path.join(dist, "km.mjs"), "up", "--scripted", "--json"], {
    env: {
      PATH: process.env["PATH"],
      HOME: path.dirname(state),
      KM_STATE: state,
      KM_CLAUDE: claudeCommand
    },
    stdio: ["ignore", "pipe", "ignore"]
  })
  await Promise.race([
    once(child.stdout, "data"),
    once(child, "exit").then(() => Promise.reject(new Error("km up did not start")))
  ])
  return child
}

export const stopUp = async (child: ChildProcess): Promise<void> => {
  child.kill("SIGTERM")
  await once(child, "exit")
}
