/** `km` in process: a command line in, exit code and exact lines out, over an install in memory. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ConfigProvider, Effect, Layer, Logger, Stdio } from "effect"
import { TestConsole } from "effect/testing"
import { type Backend, Backends, type InstallPorts } from "../../km-cli/Backend.ts"
import { KmError } from "../../km-cli/KmError.ts"
import { profiles } from "../../km-cli/Programs.ts"
import { runKm } from "../../km-cli/RunKm.ts"
import { agentKinds } from "../../runtime/adapters/agents.ts"
import type { Install } from "../../runtime/domain/install/Install.ts"
import { InstallName } from "../../runtime/domain/sandbox/Ids.ts"
import type { SandboxId, TurnKey } from "../../runtime/domain/sandbox/Ids.ts"
import { noReport } from "../../runtime/domain/sandbox/Sandbox.ts"
import type { TurnRow } from "../../runtime/domain/turn/Turn.ts"
import { openTurnOf, recordOf, type TurnRecord } from "../../runtime/domain/turn/TurnRecord.ts"
import { certifierKeyPath, signingKeyFromText } from "../../runtime/kernel/identity/Certifier.ts"
import type { Bridge } from "../../runtime/ports/Bridge.ts"
import type { MailDesk } from "../../runtime/ports/MailDesk.ts"
import * as MemoryIdempotency from "../../runtime/ports/memory/MemoryIdempotency.ts"
import * as MemorySeen from "../../runtime/ports/memory/MemorySeen.ts"
import type { World } from "./ControlWorld.ts"

const install: Install = {
  version: 1,
  install: InstallName.make("km"),
  certifierPublicKey: Buffer.alloc(32).toString("base64"),
  // Port 9 is discard: nothing of ours ever listens there.
  bridgeUrl: "http://127.0.0.1:9",
  bridgeHost: "127.0.0.1:9",
  slackApiUrl: "http://127.0.0.1:9/api/",
  local: true
}

/** Pins the certifier whose key lies among the world's secrets. */
const installOf = (world: World): Install => {
  const certifier = signingKeyFromText(world.secrets.get(certifierKeyPath) ?? "")
  return certifier === undefined
    ? install
    : { ...install, certifierPublicKey: Buffer.from(certifier.publicKey).toString("base64") }
}

export interface Ran {
  readonly exit: number
  /** Standard output. */
  readonly out: ReadonlyArray<string>
  /** Standard error. */
  readonly err: ReadonlyArray<string>
}

/** An install over a world, or a place where there is none. Each command opens it anew, as a process would. */
export class TestKm {
  readonly world: World | undefined
  /** The process that says it is the control plane. */
  controlPlane: number | undefined
  /** What the process would see as its environment. */
  env: Record<string, string> = { HOME: "/nowhere" }

  /** What the machine would say. */
  jail = { jails: true, networkStays: "", detail: "bubblewrap 0.8.0", remedy: "" }

  /** What the install knows beside its keys. */
  private known: Partial<Install>

  /** Mail is tested on the real engine; here it is only planned. */
  mail: MailDesk<KmError> = {
    refusing: () => Effect.succeed([]),
    send: () => Effect.die("unused"),
    judgeAll: Effect.die("unused"),
    list: () => Effect.die("unused"),
    replies: () => Effect.die("unused"),
    get: () => Effect.die("unused"),
    release: () => Effect.die("unused"),
    raw: () => Effect.die("unused"),
    saveAttachments: () => Effect.die("unused")
  }

  constructor(world?: World, known: Partial<Install> = {}) {
    this.world = world
    this.known = known
  }

  /** What `install.json` says from now on beside the rest. */
  know(changes: Partial<Install>) {
    this.known = { ...this.known, ...changes }
  }

  private backend(root: string): Backend {
    const { world } = this
    const none = Effect.fail(
      new KmError({
        code: "KM-ENG-006",
        exit: 3,
        what: "the state directory was refused",
        why: `there is no install in ${root}`,
        next: "run `km up`, or set KM_STATE"
      })
    )
    const shared: Layer.Layer<InstallPorts | Bridge, KmError> = world === undefined
      ? Layer.effectContext<InstallPorts | Bridge, KmError, never>(none)
      : Layer.mergeAll(world.layer(), MemoryIdempotency.layer, MemorySeen.layer)
    return {
      paths: {
        root,
        run: `${root}/run`,
        sandboxes: `${root}/sandboxes`,
        secrets: `${root}/secrets`,
        profiles: profiles()
      },
      agents: agentKinds,
      install: world === undefined ? none : Effect.sync(() => ({ ...installOf(world), ...this.known })),
      writeInstall: (written) => Effect.sync(() => void (this.known = written)),
      ports: () => shared,
      bridge: () => shared,
      mail: () => Effect.succeed(this.mail),
      lock: Effect.void,
      controlPlane: Effect.sync(() => this.controlPlane),
      makingKeys: Effect.void,
      jail: Effect.sync(() => this.jail),
      claude: Effect.succeed({ command: "/usr/bin/claude", version: "1.0.0 (Claude Code)" }),
      children: {
        bridge: { command: "false", args: [] },
        runtime: { command: "false", args: [] },
        control: { command: "false", args: [] },
        workspace: () => ({ command: "false", args: [] }),
        model: { command: "false", args: [] },
        mailIn: { command: "false", args: [] },
        mailOut: { command: "false", args: [] }
      }
    }
  }

  /** What a runtime says of its turns: a row that is over is recorded, another one is open. */
  readonly knows = (sandbox: SandboxId, row: TurnRow): void => {
    if (this.world === undefined) return
    const { records, reports } = this.world
    if (row.state === "settled" || row.state === "posted") {
      const own = records.records.get(sandbox) ?? new Map<TurnKey, TurnRecord>()
      records.records.set(sandbox, own.set(row.key, recordOf(row, undefined, (text) => text)))
      return
    }
    const report = reports.reports.get(sandbox) ?? noReport
    reports.reports.set(sandbox, { ...report, open: [...report.open ?? [], openTurnOf(row)] })
  }

  /** Runs one command line, with a console of its own. */
  run(...args: ReadonlyArray<string>): Effect.Effect<Ran> {
    return Effect.gen({ self: this }, function*() {
      const exit: number = yield* runKm(args)
      const out = yield* TestConsole.logLines
      const err = yield* TestConsole.errorLines
      return { exit, out: out.map(String), err: err.map(String) }
    }).pipe(
      Effect.provide(
        Layer.mergeAll(
          Layer.succeed(Backends, Backends.of({ open: (root) => Effect.succeed(this.backend(root)) })),
          NodeServices.layer,
          // Nobody types, and nothing is piped in.
          Stdio.layerTest({}),
          ConfigProvider.layer(ConfigProvider.fromUnknown(this.env)),
          Logger.layer([]),
          Layer.fresh(TestConsole.layer)
        )
      )
    )
  }
}
