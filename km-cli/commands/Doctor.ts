/** `km doctor`: every check of this machine and this install, each with its remedy. It changes nothing. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as path from "node:path"
import process from "node:process"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { dueKeys, keysOfAll } from "../../runtime/kernel/identity/IdentityKeys.ts"
import { Bridge } from "../../runtime/ports/Bridge.ts"
import { MailOutbox } from "../../runtime/ports/Mail.ts"
import { reported } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import type { Backend } from "../Backend.ts"
import { kmError } from "../KmError.ts"
import { opened } from "../Opened.ts"
import { columns, data, talk } from "../Output.ts"
import { labelOf } from "../Reference.ts"
import { byAge, enforcesRefs, isConfined, networkOf, refsNotEnforced, unconfinedNetwork } from "../SandboxView.ts"
import * as UpFile from "../up/UpFile.ts"
import { githubChecks } from "./DoctorGithub.ts"

export interface Check {
  readonly name: string
  readonly status: "ok" | "warn" | "error" | "skip"
  readonly detail: string
  /** What to do; empty when nothing. */
  readonly remedy: string
}

const check = (name: string, status: Check["status"], detail: string, remedy = ""): Check => ({
  name,
  status,
  detail,
  remedy
})

/** An older one does not get as far as this. */
const node = (): Check => check("node", "ok", process.versions.node)

const claude = (backend: Backend) =>
  Effect.match(backend.claude, {
    onSuccess: ({ command, version }) => check("agent CLI", "ok", `${version} (${command})`),
    onFailure: ({ next, why }) => check("agent CLI", "error", why, next)
  })

const jail = (backend: Backend) =>
  Effect.map(
    backend.jail,
    ({ detail, jails, networkStays, remedy }) =>
      jails
        ? [
          check("jail", remedy === "" ? "ok" : "warn", detail, remedy),
          ...(networkStays === "" ? [] : [
            check(
              "jail's network",
              "warn",
              `an agent cannot be kept from the network here: ${networkStays}`,
              "agents without spec.network: shared do not run unless --unconfined was given"
            )
          ])
        ]
        : [check("jail", "warn", `${detail}: agents would run unconfined`, remedy)]
  )

/** Below this, new messages are soon refused. */
const lowBytes = 1024 ** 3

const disk = (root: string): Check => {
  const place = fs.existsSync(root) ? root : path.dirname(root)
  try {
    const { bavail, bsize } = fs.statfsSync(place)
    const free = bavail * bsize
    const text = `${(free / 1024 ** 3).toFixed(1)} GiB free`
    return free < lowBytes
      ? check("disk", "warn", text, "free some space; a full disk stops new receives")
      : check("disk", "ok", text)
  } catch (cause) {
    return check("disk", "error", cause instanceof Error ? cause.message : "unknown", `check ${place}`)
  }
}

const clock = (install: Install) =>
  HttpClient.HttpClient.pipe(
    Effect.flatMap((http) => http.get(`${install.bridgeUrl}/healthz`)),
    Effect.flatMap((response) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const theirs = Date.parse(response.headers["date"] ?? "")
        if (!Number.isFinite(theirs)) return check("clock", "skip", "the bridge names no time")
        const skew = Math.round(Math.abs(now - theirs) / 1_000)
        return skew > 120
          ? check("clock", "error", `${skew} s apart from the bridge`, "set the clock; requests are refused at 300 s")
          : check("clock", "ok", `${skew} s apart from the bridge`)
      })
    ),
    Effect.timeoutOrElse({
      duration: "3 seconds",
      orElse: () => Effect.succeed(check("clock", "skip", "the bridge does not answer"))
    }),
    Effect.orElseSucceed(() => check("clock", "skip", "the bridge does not answer")),
    Effect.provide(FetchHttpClient.layer)
  )

const bridgeHealth = (install: Install) =>
  HttpClient.HttpClient.pipe(
    Effect.flatMap((http) => http.get(`${install.bridgeUrl}/healthz`)),
    Effect.map((response) =>
      response.status === 200
        ? check("bridge", "ok", install.bridgeUrl)
        : check("bridge", "error", `${install.bridgeUrl} answers ${response.status}`, "km logs --part bridge")
    ),
    Effect.timeoutOrElse({
      duration: "3 seconds",
      orElse: () => Effect.succeed(check("bridge", "error", `${install.bridgeUrl} does not answer`, "km up"))
    }),
    Effect.orElseSucceed(() => check("bridge", "error", `${install.bridgeUrl} does not answer`, "km up")),
    Effect.provide(FetchHttpClient.layer)
  )

const slackChecks = Effect.fnUntraced(function*(backend: Backend, install: Install) {
  const now = yield* Clock.currentTimeMillis
  const result = yield* Effect.flatMap(
    Bridge,
    (bridge) => bridge.call({ key: `doctor/${now}`, patience: "besteffort", action: { action: "test" } })
  ).pipe(
    Effect.provide(backend.bridge(install).pipe(Layer.provide(backend.ports("short")))),
    Effect.result
  )
  if (Result.isFailure(result)) {
    return [check("slack", "error", result.failure.message, "km slack test")]
  }
  return (result.success.checks ?? []).map(({ detail, name, ok }) =>
    // Without any sandbox there is no channel to try metadata in.
    ok
      ? check(`slack ${name}`, "ok", detail)
      : check(`slack ${name}`, /no channel to try/.test(detail) ? "skip" : "error", detail, "km slack test")
  )
})

/** `waits`: what keeps every runtime from being ready, and is a check of its own. */
const sandboxChecks = Effect.fnUntraced(function*(waits: string | undefined) {
  const sandboxes = yield* Sandboxes
  const queue = yield* TurnQueue
  const checks: Array<Check> = []
  for (const row of byAge(yield* reported(yield* sandboxes.list))) {
    const name = `sandbox ${row.alias ?? row.id}`
    if (!isConfined(row)) {
      checks.push(
        check(
          name,
          "warn",
          `${labelOf(row)} is unconfined${unconfinedNetwork(row)}`,
          "install bubblewrap; create it again without --unconfined"
        )
      )
    } else if (networkOf(row) === "shared") {
      checks.push(check(
        name,
        "warn",
        `network shared: ${labelOf(row)} reaches what this machine reaches, services on its loopback too`,
        "create it anew from a profile without spec.network: shared, where it does not need that"
      ))
    }
    if (!enforcesRefs(row)) {
      checks.push(check(
        name,
        "warn",
        `${refsNotEnforced}: ${labelOf(row)} may push, delete and force whatever GitHub's own rules allow`,
        "create it from a profile with sourceAccess.mode: allowlist"
      ))
    }
    const wanted = row.status === "running" && row.desired === "running"
    if (row.status === "running" && row.desired === "stopped") {
      checks.push(check(name, "warn", `${labelOf(row)} is paused; messages wait`, `km resume ${row.id}`))
    } else if (!wanted) {
      checks.push(check(name, "warn", `${labelOf(row)} is ${row.status}`, `km status ${row.id}`))
    } else if (waits !== undefined) {
      checks.push(check(name, "skip", `${labelOf(row)} waits: ${waits}`))
    } else if (!row.ready) {
      const down = row.plugins.filter(({ state }) => state !== "running").map(({ detail, id, state }) =>
        `; plugin ${id} is ${state}${detail === "" ? "" : `: ${detail}`}`
      )
      checks.push(check(name, "error", `${labelOf(row)} is not ready${down.join("")}`, `km logs ${row.id}`))
    }
    // What a runtime said last while it ran, and only what has not been said above.
    for (const plugin of wanted && waits === undefined && row.ready ? row.plugins : []) {
      if (/hooks? (are )?off/i.test(plugin.detail)) {
        checks.push(check(name, "warn", `hooks are off: ${plugin.detail}`, "see spec.agent.trustRepoSettings"))
      } else if (plugin.state !== "running") {
        checks.push(
          check(name, "warn", `plugin ${plugin.id} is ${plugin.state}: ${plugin.detail}`, `km logs ${row.id}`)
        )
      }
    }
    if (row.inventory.some(({ kind }) => kind === "queue")) {
      const depth = yield* queue.depth(row.id)
      checks.push(
        depth.dead > 0
          ? check(name, "warn", `${depth.dead} dead letters`, `km status ${row.id} names them; km replay puts one back`)
          : check(name, "ok", `queue: ${depth.waiting} waiting, ${depth.inFlight} in flight`)
      )
    }
  }
  return checks
})

/** Mail is delivered within a second: what has waited this long is not about to be. */
const longInOutboxMillis = 60_000

/** Mail that has waited this long for its relay needs a look: the relay has been asked four times by then. */
const longWaitMillis = 15 * 60_000

/** What `smtp` of `install.json` asks for, and whether it runs. */
const smtpChecks = Effect.fnUntraced(function*(
  install: Install,
  up: Option.Option<UpFile.UpFile>,
  stopped: string | undefined
) {
  const { listen, relay } = install.smtp ?? {}
  const runs = (part: string) => Option.isSome(up) && up.value.children.some(({ name }) => name === part)
  const checks: Array<Check> = []
  const { inside, outside } = yield* (yield* MailOutbox).waiting
  const now = yield* Clock.currentTimeMillis
  if (inside.since !== undefined && now - inside.since > longInOutboxMillis) {
    const what = `${inside.count} messages were sent and are not delivered`
    checks.push(check("mail", "warn", what, stopped === undefined ? "km logs" : "km up"))
  }
  if (listen !== undefined) {
    checks.push(
      runs("mail-in")
        ? check("mail in", "ok", `SMTP on ${listen.host ?? "127.0.0.1"}, port ${listen.port}`)
        : stopped === undefined
        ? check("mail in", "warn", "the SMTP listener does not run", "km logs --part mail-in")
        : check("mail in", "skip", stopped)
    )
  }
  if (relay !== undefined) {
    const { count: recipients, since = 0 } = outside
    const late = recipients > 0 && now - since > longWaitMillis
    const waits = recipients === 0 ? "nothing waits" : `${recipients} recipients wait for ${relay.host}`
    checks.push(
      runs("mail-out")
        ? check("mail out", late ? "warn" : "ok", waits, late ? "km logs --part mail-out" : "")
        : stopped === undefined
        ? check("mail out", "warn", `the relay's client does not run; ${waits}`, "km logs --part mail-out")
        : check("mail out", "skip", `${stopped}; ${waits}`)
    )
  }
  return checks
})

/** Keys that are over, or soon are, and whether the directory is as the certifier left it. */
const identityChecks = Effect.fnUntraced(function*(install: Install) {
  const found = yield* Effect.result(keysOfAll(install))
  if (Result.isFailure(found)) {
    const { failure } = found
    return [check("identities", "error", failure.message, "km identity verify")]
  }
  const { keys } = found.success
  const due = dueKeys(keys, yield* Clock.currentTimeMillis)
  return due.length === 0
    ? [check("identities", "ok", `${keys.length} certified keys`)]
    : due.map(({ command, detail }) => check("identities", "warn", detail, command))
})

/** Without it nothing ends, is scheduled or is told, and nobody would see that. */
const controlCheck = (pid: number | undefined, stopped: string | undefined, up: boolean): Check =>
  pid !== undefined
    ? check("control plane", "ok", `process ${pid}`)
    : stopped === undefined
    ? check(
      "control plane",
      "error",
      "not running: no sandbox ends and no schedule runs",
      up ? "km logs --part control" : "km up"
    )
    : check("control plane", "skip", stopped)

/** The state directory as the engine wants it: everything private; the engine's own refusal names the exception. */
const stateChecks = Effect.fnUntraced(function*(backend: Backend) {
  const install = yield* Effect.result(backend.install)
  if (Result.isFailure(install)) {
    const { code, next, why } = install.failure
    return { checks: [check("state", "error", `${why} (${code})`, next)], install: undefined, stopped: undefined }
  }
  const up = yield* UpFile.running(backend.paths.run)
  // One cause is one check that fails; what follows from it waits.
  const stopped = !install.success.local
    ? undefined
    : Option.isNone(up)
    ? "km up is not running"
    : up.value.ready
    ? undefined
    : "km up is starting"
  const inside = yield* Effect.all([sandboxChecks(stopped), identityChecks(install.success)]).pipe(
    Effect.provide(backend.ports("short")),
    Effect.result
  )
  if (Result.isFailure(inside)) {
    const checks = [check("state", "error", inside.failure.message, "follow the reason")]
    return { checks, install: undefined, stopped: undefined }
  }
  const smtp = yield* smtpChecks(install.success, up, stopped).pipe(
    Effect.provide(backend.ports("short")),
    Effect.catch((error) => Effect.succeed([check("mail", "error", error.message, "follow the reason")]))
  )
  return {
    install: install.success,
    stopped,
    checks: [
      check("state", "ok", `${backend.paths.root}, readable by its owner only`),
      Option.isSome(up)
        ? check("km up", "ok", `process ${up.value.supervisor.pid}`)
        : install.success.local
        ? check("km up", "error", "not running", "km up")
        : check("km up", "skip", "not running; this install's parts run as services"),
      ...(Option.isSome(up) && up.value.modelScripted
        ? [check("model", "warn", "scripted: nothing reads messages", "set ANTHROPIC_API_KEY and start again")]
        : []),
      controlCheck(yield* backend.controlPlane, stopped, Option.isSome(up)),
      ...inside.success.flat(),
      ...smtp
    ]
  }
})

const marks = { ok: "ok", warn: "warn", error: "ERROR", skip: "-" } as const

export const doctor = Effect.fn("km.doctor")(function*() {
  const { backend } = yield* opened
  const state = yield* stateChecks(backend)
  const [agentCli, jails] = yield* Effect.all([claude(backend), jail(backend)], { concurrency: 2 })
  const online = state.install === undefined
    ? []
    : state.stopped === undefined
    ? yield* Effect.all([bridgeHealth(state.install), clock(state.install)], { concurrency: 2 })
    : [check("bridge", "skip", state.stopped)]
  const slack = state.install === undefined || online[0]?.status !== "ok"
    ? []
    : yield* slackChecks(backend, state.install)
  const github = state.install?.github === undefined
    ? []
    : yield* githubChecks(state.install.github).pipe(Effect.provide(backend.ports("short")))
  const checks = [node(), agentCli, ...jails, disk(backend.paths.root), ...state.checks, ...online, ...slack, ...github]
  const errors = checks.filter(({ status }) => status === "error").length
  const warnings = checks.filter(({ status }) => status === "warn").length
  yield* data(
    columns(checks.map(({ detail, name, remedy, status }) => [
      marks[status],
      name,
      remedy === "" || status === "ok" ? detail : `${detail}; ${remedy}`
    ])),
    { ok: errors === 0, checks }
  )
  if (errors > 0) {
    return yield* kmError("KM-CLI-014", `${errors} of ${checks.length} checks failed`, "", "follow the remedies above")
  }
  yield* talk(warnings === 0 ? "everything is fine" : warnings === 1 ? "1 warning" : `${warnings} warnings`)
})
