/**
 * `km demo`: a stack of its own in a directory of its own, a sandbox, a first message, the thread as it grows, a second one
 * about GitHub, and what was really observed. With `--once` it then takes everything down again and leaves nothing.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import process from "node:process"
import { findingLine, readProfile } from "../../profiles/ProfileFile.ts"
import { Alias, SandboxId, slackTurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { ChannelId, MessageTs, TeamId } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import { Provisioning } from "../../runtime/kernel/sandboxes/Provisioning.ts"
import { Teardown } from "../../runtime/kernel/sandboxes/Teardown.ts"
import { withReport } from "../../runtime/ports/Reports.ts"
import { type Backend, Backends } from "../Backend.ts"
import { settings } from "../Configuration.ts"
import { say } from "../demo/Conversation.ts"
import { claim, demoPrefix, sweepStale } from "../demo/DemoDirectory.ts"
import {
  accessText,
  adoptApp,
  type DemoGithub,
  githubLines,
  githubMessage,
  githubMissing,
  githubSeen,
  startDemoGithub,
  writeProfile
} from "../demo/DemoGithub.ts"
import { storedAt } from "../demo/Evidence.ts"
import { missing, type Observed, stages, timelineLines } from "../demo/Timeline.ts"
import { kmError } from "../KmError.ts"
import type { Credentials } from "../local/workspace/Credentials.ts"
import { data, serving, talk } from "../Output.ts"
import { channelText, isConfined, unconfinedNetwork } from "../SandboxView.ts"
import { recordSoon } from "../TurnOutcome.ts"
import { logFile } from "../up/Child.ts"
import { type Running, up } from "../up/Up.ts"

const firstMessage = "Hello! Please look around in your workspace, leave a short note there, and tell me what you did."

/** A scripted turn takes seconds, a real one may think; a stack that needs longer is broken. */
const turnWithin = "5 minutes"

const createDemo = Effect.fnUntraced(function*({ agents }: Backend, running: Running, file: string, shown: string) {
  const report = yield* readProfile(file, { agents, ownerOfChannel: () => undefined })
  const { profile } = report
  if (profile === undefined) {
    return yield* kmError("KM-CLI-006", `${file} has errors`, report.findings.map(findingLine).join("; "))
  }
  const id = SandboxId.make(`${profile.metadata.prefix}-${randomBytes(4).toString("hex")}`)
  yield* talk(`creating the sandbox ${id} (demo) from ${shown}`)
  return yield* running.within(Effect.flatMap(Provisioning, (provisioning) =>
    provisioning.create({
      id,
      install: running.install.install,
      mailDomain: running.install.mailDomain,
      alias: Alias.make("demo"),
      profile,
      // The scripted model does what its script says; a real one is confined or refused.
      unconfined: false,
      readyWithin: Duration.seconds(60)
    }, (step, detail) => talk(`  ${step}${detail === "" ? "" : ` ${detail}`}`))))
})

/** What the workspace cannot see: when the bridge had stored the message, and when the runtime started the agent. */
const withEvidence = Effect.fnUntraced(function*(backend: Backend, row: SandboxRow, team: string, said: {
  readonly ts: string
  readonly observed: Observed
}) {
  const path = yield* Path.Path
  const channel = row.channel ?? ChannelId.make("C000")
  const key = slackTurnKey(TeamId.make(team), channel, MessageTs.make(said.ts))
  const log = logFile(path.join(backend.paths.run, "logs"), "bridge")
  const turn = yield* recordSoon(backend, { sandbox: row.id, key })
  const stored = yield* storedAt(log, key)
  const started = Option.flatMap(turn, ({ startedAt }) => Option.fromNullishOr(startedAt))
  return {
    ...said.observed,
    at: {
      ...said.observed.at,
      ...(Option.isNone(stored) ? {} : { stored: stored.value }),
      ...(Option.isNone(started) ? {} : { "agent started": started.value })
    }
  }
})

/** The command as the person would type it here; in a source tree with the Node that was brought along. */
const self = (): string => {
  const [, script = "km"] = process.argv
  const relative = script.startsWith(process.cwd()) ? script.slice(process.cwd().length + 1) : script
  const node = existsSync("node_modules/.bin/node") ? "node_modules/.bin/node" : "node"
  return /\.(ts|mjs)$/.test(relative) ? `${node} ${relative}` : "km"
}

/** As the first person of the workspace, whom the talk names; ends with the turn, and with its session if that is waited for. */
const saying = Effect.fnUntraced(function*(
  credentials: Credentials,
  row: SandboxRow,
  text: string,
  transcript: boolean
) {
  const { channel } = row
  if (channel === undefined) return yield* kmError("KM-CLI-018", "the demo's sandbox has no channel", "")
  const [name = "somebody"] = Object.keys(credentials.people)
  yield* talk(`${name} writes in ${channelText(row)}: ${text}`)
  return yield* say(credentials, { channel, text, threadTs: undefined, transcript, watch: true }, talk).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.timeoutOrElse({
      duration: turnWithin,
      orElse: () => Effect.fail(kmError("KM-CLI-012", "the turn has no outcome", `${turnWithin} have passed`))
    })
  )
})

/** With what the sandbox may reach there, where there is a GitHub; and how people are told of it. */
const profileOf = Effect.fnUntraced(function*(backend: Backend, running: Running, hub: DemoGithub | undefined) {
  const path = yield* Path.Path
  const base = path.join(backend.paths.profiles, "demo.yaml")
  const shown = path.relative(process.cwd(), base)
  if (hub === undefined) return { file: base, shown }
  yield* running.within(adoptApp(hub))
  const file = yield* writeProfile(hub, base, backend.paths.root)
  return { file, shown: `${shown}, with ${accessText(hub)}` }
})

/** A second thread: what the sandbox may do on GitHub, and what it is refused. */
const showGithub = Effect.fnUntraced(
  function*(backend: Backend, running: Running, hub: DemoGithub, credentials: Credentials, row: SandboxRow) {
    const path = yield* Path.Path
    const said = yield* saying(credentials, row, githubMessage(hub, running.modelScripted), false)
    return yield* githubSeen(hub, said.observed, path.join(backend.paths.sandboxes, row.id))
  }
)

const show = Effect.fnUntraced(function*(
  backend: Backend,
  running: Running,
  github: Effect.Effect<DemoGithub, string>,
  once: boolean
) {
  const { credentials } = running
  if (credentials === undefined) return yield* kmError("KM-CLI-021", "the demo has no local workspace", "")
  yield* talk(`workspace ${credentials.url}`)
  if (running.modelScripted) {
    yield* talk("the model is SCRIPTED: the agent and its tools are real, what it says was written beforehand.")
    yield* talk("set ANTHROPIC_API_KEY to talk to a real model; the key stays with the model door.")
  }
  const hub = yield* github.pipe(
    Effect.catch((why) => Effect.as(talk(`without GitHub: ${why}`), undefined))
  )
  const { file, shown } = yield* profileOf(backend, running, hub)
  const row = yield* running.within(Effect.flatMap(createDemo(backend, running, file, shown), withReport))
  if (!isConfined(row)) {
    yield* talk(
      `the agent is UNCONFINED: bubblewrap is missing here${unconfinedNetwork(row)}; km doctor says more`
    )
  }
  const said = yield* saying(credentials, row, firstMessage, true)
  const seen = hub === undefined ? undefined : yield* showGithub(backend, running, hub, credentials, row)
  const observed = yield* withEvidence(backend, row, credentials.teamId, said)
  const unseen = [...missing(observed), ...seen === undefined ? [] : githubMissing(seen, running.modelScripted)]
  yield* data(
    [
      "timeline, in ms since the message was posted:",
      ...timelineLines(observed, said.postedAt),
      ...seen === undefined ? [] : githubLines(seen)
    ],
    {
      ok: unseen.length === 0,
      sandbox: row.id,
      channel: row.channelName,
      modelScripted: running.modelScripted,
      outcome: observed.end ?? null,
      timeline: stages.map((stage) => ({
        stage,
        millis: observed.at[stage] === undefined ? null : observed.at[stage] - said.postedAt
      })),
      files: observed.files,
      github: seen ?? null
    }
  )
  if (unseen.length > 0) {
    return yield* kmError(
      "KM-CLI-012",
      `not observed: ${unseen.join(", ")}`,
      observed.end === "✅" ? "" : `the turn ended with ${observed.end ?? "nothing"}`,
      `see ${backend.paths.run}/logs`
    )
  }
  if (once) {
    yield* talk("taking the sandbox down again")
    return yield* running.within(Effect.flatMap(Teardown, (teardown) => teardown.run(row.id, "destroyed")))
  }
  yield* talk("")
  yield* talk("it stays up; in another terminal:")
  yield* talk(`  ${self()} chat demo "…" --state ${backend.paths.root}`)
  yield* talk(`  ${self()} status demo --state ${backend.paths.root}`)
  if (hub !== undefined) {
    yield* talk(`its GitHub is ${hub.host}, for the sandbox alone; what was decided:`)
    yield* talk(`  ${self()} audit --state ${backend.paths.root}`)
  }
  yield* talk(`or look at the workspace: ${credentials.url}`)
  yield* talk("Ctrl-C ends it and removes everything.")
  yield* serving
  return yield* Effect.never
})

/** The last lines of each part's log, for whoever has to find out what went wrong after the directory is gone. */
const lastWords = Effect.fnUntraced(function*(backend: Backend) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  for (const part of ["workspace", "model", "bridge", "runtime"]) {
    const text = yield* Effect.orElseSucceed(
      fs.readFileString(logFile(path.join(backend.paths.run, "logs"), part)),
      () => ""
    )
    for (const line of text.split("\n").filter((each) => /"level":"(WARN|ERROR|FATAL)"/i.test(each)).slice(-5)) {
      yield* talk(`  ${part}: ${line.slice(0, 600)}`)
    }
  }
})

export const demo = Effect.fn("km.demo")(function*({ once }: { readonly once: boolean }) {
  const config = yield* settings
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* sweepStale
  const directory = yield* fs.makeTempDirectoryScoped({ prefix: demoPrefix }).pipe(
    Effect.tap(claim),
    Effect.mapError((error) => kmError("KM-CLI-015", "no temporary directory", error.message))
  )
  const backend = yield* (yield* Backends).open(directory)
  yield* talk(`starting a stack of its own in ${directory}`)
  // Beside the stack, and longer than it: a sandbox's end takes its tokens back there.
  const github = yield* Effect.forkScoped(startDemoGithub(path.join(directory, "github")))
  const ready = yield* Deferred.make<Running>()
  const stack = up(
    {
      backend,
      install: config.install,
      forceScripted: false,
      socketMode: false,
      ephemeral: true,
      // Its first run goes on until a person ends it: the sandbox is created within, and all keys are gone afterwards.
      unattendedCertifier: true,
      environment: process.env
    },
    (running) => Effect.asVoid(Deferred.succeed(ready, running))
  )
  return yield* Effect.raceFirst(
    stack,
    Effect.flatMap(Deferred.await(ready), (running) => show(backend, running, Fiber.join(github), once))
  ).pipe(Effect.tapError(() => lastWords(backend)))
}, Effect.scoped)
