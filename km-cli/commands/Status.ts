/** `km status`: the parts of the install, or one sandbox with its queue and its turns. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Install } from "../../runtime/domain/install/Install.ts"
import type { ReportedSandbox, SandboxRow } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { OpenTurn, TurnRecord } from "../../runtime/domain/turn/TurnRecord.ts"
import { dueKeys, keysOf, revocationsOf } from "../../runtime/kernel/identity/IdentityKeys.ts"
import { reported, withReport } from "../../runtime/ports/Reports.ts"
import { Sandboxes } from "../../runtime/ports/Sandboxes.ts"
import { Threads } from "../../runtime/ports/Threads.ts"
import { TurnQueue } from "../../runtime/ports/TurnQueue.ts"
import { TurnRecords } from "../../runtime/ports/TurnRecords.ts"
import type { Backend } from "../Backend.ts"
import { bridgeAnswers, opened } from "../Opened.ts"
import { columns, data, span } from "../Output.ts"
import { labelOf, resolve } from "../Reference.ts"
import {
  byAge,
  channelText,
  enforcesRefs,
  isConfined,
  listCells,
  listHead,
  networkText,
  refsNotEnforced,
  statusText,
  viewOf
} from "../SandboxView.ts"
import * as UpFile from "../up/UpFile.ts"

/** Turns shown. */
const recentTurns = 10

/** `--json` of a turn that is over, or of one that its runtime says is open. */
const turnView = (turn: TurnRecord | OpenTurn) =>
  "result" in turn
    ? {
      key: turn.key,
      state: "settled",
      result: turn.result,
      attempt: turn.attempts,
      session: turn.session ?? null,
      costUsd: turn.costUsd ?? null,
      since: null,
      receivedAt: new Date(turn.receivedAt).toISOString(),
      finishedAt: new Date(turn.finishedAt).toISOString()
    }
    : {
      key: turn.key,
      state: turn.state,
      result: null,
      attempt: null,
      session: null,
      costUsd: null,
      since: new Date(turn.since).toISOString(),
      receivedAt: null,
      finishedAt: null
    }

const ofInstall = Effect.fnUntraced(function*(backend: Backend) {
  const install = yield* backend.install
  const rows = byAge(
    yield* Effect.flatMap(Sandboxes, (sandboxes) => sandboxes.list).pipe(
      Effect.flatMap(reported),
      Effect.provide(backend.ports("short"))
    )
  )
  const up = yield* UpFile.running(backend.paths.run)
  const healthy = yield* bridgeAnswers(install)
  const control = yield* backend.controlPlane
  const now = yield* Clock.currentTimeMillis
  const upText = Option.match(up, {
    onNone: () => "not running",
    onSome: (file) =>
      `${file.ready ? "running" : "starting"} (process ${file.supervisor.pid}, ${span(now - file.startedAt)})`
  })
  const model = Option.match(up, {
    onNone: () => "-",
    onSome: ({ modelScripted }) => modelScripted ? "scripted" : "real"
  })
  yield* data(
    [
      `install  ${install.install} in ${backend.paths.root}`,
      `km up    ${upText}`,
      `bridge   ${install.bridgeUrl} ${healthy ? "healthy" : "does not answer"}`,
      `control  ${control === undefined ? "not running" : `running (process ${control})`}`,
      `model    ${model}`,
      ...(rows.length === 0 ? [] : ["", ...columns([listHead, ...rows.map((row) => listCells(row, now))])])
    ],
    {
      ok: true,
      install: install.install,
      state: backend.paths.root,
      up: Option.match(up, {
        onNone: () => ({ running: false }),
        onSome: (file) => ({
          running: true,
          ready: file.ready,
          pid: file.supervisor.pid,
          modelScripted: file.modelScripted,
          workspaceUrl: file.workspaceUrl ?? null,
          parts: file.children.map(({ name, process }) => ({ name, pid: process.pid, alive: UpFile.isAlive(process) }))
        })
      }),
      bridge: { url: install.bridgeUrl, healthy },
      control: { pid: control ?? null },
      sandboxes: rows.map(viewOf)
    }
  )
})

const numbersOf = Effect.fnUntraced(function*(row: SandboxRow) {
  const queue = yield* TurnQueue
  const threads = yield* Threads
  const hasQueue = row.inventory.some(({ kind }) => kind === "queue")
  const depth = hasQueue ? yield* queue.depth(row.id) : { waiting: 0, inFlight: 0, dead: 0 }
  const dead = hasQueue ? yield* queue.deadLetters(row.id) : []
  return { depth, dead, threads: yield* threads.count(row.id) }
})

/** What keeps its keys from being believed, now or soon; empty when nothing does. */
const keyTrouble = Effect.fnUntraced(function*(install: Install, row: SandboxRow) {
  const found = yield* Effect.result(Effect.flatMap(revocationsOf(install), (all) => keysOf(install, row.id, all)))
  if (Result.isFailure(found)) return [{ detail: found.failure.message, command: "km identity verify" }]
  return dueKeys(found.success, yield* Clock.currentTimeMillis).map(({ command, detail }) => ({ detail, command }))
})

const turnLine = (turn: TurnRecord | OpenTurn, now: number): ReadonlyArray<string> =>
  "result" in turn
    ? [
      `  ${turn.key}`,
      turn.result,
      turn.attempts > 1 ? `attempt ${turn.attempts}` : "",
      `${span(now - turn.receivedAt)} ago`
    ]
    : [`  ${turn.key}`, turn.state, "", `${span(now - turn.since)} ago`]

/** What runs or waits now, the youngest first, then what is over; what is both was just settled. */
const turnsOf = Effect.fnUntraced(function*({ id, open = [] }: ReportedSandbox) {
  const over = yield* (yield* TurnRecords).recent(id, recentTurns)
  const keys = new Set(over.map(({ key }) => key))
  return [...open.filter(({ key }) => !keys.has(key)).toReversed(), ...over].slice(0, recentTurns)
})

const ofSandbox = Effect.fnUntraced(function*(backend: Backend, reference: string) {
  const install = yield* backend.install
  const found = yield* Effect.gen(function*() {
    const row = yield* withReport(yield* resolve(reference))
    return { row, turns: yield* turnsOf(row), ...(yield* numbersOf(row)), keys: yield* keyTrouble(install, row) }
  }).pipe(Effect.provide(backend.ports("short")))
  const { dead, depth, keys, row, threads, turns } = found
  const now = yield* Clock.currentTimeMillis
  const cli = row.profile.spec.cli
  yield* data(
    [
      `sandbox   ${labelOf(row)}`,
      `status    ${statusText(row)}${(row.failureReason ?? "") === "" ? "" : `: ${row.failureReason}`}`,
      `jail      ${
        isConfined(row) ? "confined" : `UNCONFINED${row.unconfined ? ", as the operator accepted" : ": see km doctor"}`
      }`,
      `network   ${networkText(row)}`,
      ...(enforcesRefs(row)
        ? []
        : [
          `github    ${refsNotEnforced}: pushes, deletes and forced updates are reported, by sourceAccess.mode: audit`
        ]),
      `profile   ${row.profile.metadata.name}`,
      `channel   ${channelText(row)}${row.channelMode === undefined ? "" : ` (${row.channelMode})`}`,
      `created   ${span(now - row.createdAt)} ago`,
      `ends      ${row.expiresAt === undefined ? "never" : `in ${span(row.expiresAt - now)}`}`,
      `heard of  ${row.lastSeenAt === undefined ? "never" : `${span(now - row.lastSeenAt)} ago`}`,
      `queue     ${depth.waiting} waiting, ${depth.inFlight} in flight, ${depth.dead} dead`,
      `threads   ${threads}`,
      `slack     inbound ${cli.notifySlackInboundEnabled ? "on" : "off"}, transcript ${
        cli.notifySlackTranscriptEnabled ? "on" : "off"
      }`,
      ...(row.plugins.length === 0
        ? []
        : [
          "plugins",
          ...columns(row.plugins.map(({ detail, id, state }) => [`  ${id}`, state, detail]))
        ]),
      ...(turns.length === 0 ? [] : ["turns", ...columns(turns.map((turn) => turnLine(turn, now)))]),
      ...keys.map(({ command, detail }) => `keys      ${detail}; ${command}`),
      ...dead.map((entry) => `dead      ${entry.key}; km replay ${entry.key}`)
    ],
    {
      ok: true,
      sandbox: viewOf(row),
      queue: depth,
      dead: dead.map(({ deadAt, key, noticed, receiveCount }) => ({ key, receiveCount, deadAt, noticed })),
      threads,
      keys,
      turns: turns.map(turnView)
    }
  )
})

export const status = Effect.fn("km.status")(function*({ reference }: { readonly reference: Option.Option<string> }) {
  const { backend } = yield* opened
  return yield* Option.match(reference, {
    onNone: () => ofInstall(backend),
    onSome: (name) => ofSandbox(backend, name)
  })
})
