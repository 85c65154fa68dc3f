/**
 * The install that a command works on, as the composition root makes it: commands never name an engine. Opening it
 * touches the disk, so that only commands which need it do.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Install } from "../runtime/domain/install/Install.ts"
import type { MailOwner } from "../runtime/kernel/mail/OperatorMail.ts"
import type { Audit } from "../runtime/ports/Audit.ts"
import type { Bridge } from "../runtime/ports/Bridge.ts"
import type { Controls } from "../runtime/ports/Controls.ts"
import type { Facts } from "../runtime/ports/Facts.ts"
import type { GithubApps } from "../runtime/ports/GithubApps.ts"
import type { Idempotency } from "../runtime/ports/Idempotency.ts"
import type { Identities } from "../runtime/ports/Identities.ts"
import type { InstallStore } from "../runtime/ports/InstallStore.ts"
import type { Leases } from "../runtime/ports/Leases.ts"
import type { Mailbox, Mailer, MailOutbox } from "../runtime/ports/Mail.ts"
import type { MailDesk } from "../runtime/ports/MailDesk.ts"
import type { Objects } from "../runtime/ports/Objects.ts"
import type { Reports } from "../runtime/ports/Reports.ts"
import type { Sandboxes } from "../runtime/ports/Sandboxes.ts"
import type { SandboxHost } from "../runtime/ports/SandboxHost.ts"
import type { Scheduler } from "../runtime/ports/Scheduler.ts"
import type { Secrets } from "../runtime/ports/Secrets.ts"
import type { Seen } from "../runtime/ports/Seen.ts"
import type { Threads } from "../runtime/ports/Threads.ts"
import type { TurnQueue } from "../runtime/ports/TurnQueue.ts"
import type { TurnRecords } from "../runtime/ports/TurnRecords.ts"
import type { KmError } from "./KmError.ts"
import type { ClaudeHere, JailHere } from "./Machine.ts"

/** Shared tables, objects, secrets and the host of this machine. */
export type InstallPorts =
  | Audit
  | Controls
  | GithubApps
  | Facts
  | Idempotency
  | Identities
  | InstallStore
  | Leases
  | Mailbox
  | Mailer
  | MailOutbox
  | Objects
  | Reports
  | SandboxHost
  | Sandboxes
  | Scheduler
  | Secrets
  | Seen
  | Threads
  | TurnQueue
  | TurnRecords

/** How to start a part of the stack: an executable with its arguments. */
export interface ChildCommand {
  readonly command: string
  readonly args: ReadonlyArray<string>
}

/** Where an install keeps what commands look at; all absolute. */
export interface BackendPaths {
  readonly root: string
  /** `up.json`, locks, logs of the children, credentials of the local workspace. */
  readonly run: string
  readonly sandboxes: string
  readonly secrets: string
  /** Directory of the profiles that are shipped. */
  readonly profiles: string
}

/** One install that may or may not be there yet. */
export interface Backend {
  readonly paths: BackendPaths
  /** Names of the coding agents of this build, for profiles. */
  readonly agents: ReadonlyArray<string>
  /** KM-ENG-006 (exit 3) where nothing was installed. */
  readonly install: Effect.Effect<Install, KmError>
  readonly writeInstall: (install: Install) => Effect.Effect<void, KmError>
  /**
   * Creates the state directory when it is missing. `long`: for a process that lives long, which checks the file first.
   * `unattended`: `long`, and its `Secrets` refuse the certifier's.
   */
  readonly ports: (life: "short" | "long" | "unattended") => Layer.Layer<InstallPorts, KmError>
  /** The operator's own requests to the bridge. */
  readonly bridge: (install: Install) => Layer.Layer<Bridge, KmError, Secrets>
  /** Writes and reads mail with the keys of `owner`. */
  readonly mail: (install: Install, owner: MailOwner) => Effect.Effect<MailDesk<KmError>, KmError, InstallPorts>
  /** Held until the scope closes or this process dies; KM-CLI-008 while another process holds it. */
  readonly lock: Effect.Effect<void, KmError, Scope.Scope>
  /** The process that is the control plane of this install, as far as it is on this machine. */
  readonly controlPlane: Effect.Effect<number | undefined>
  /** Waits until no other process holds it, 30 s at most; for what must not be made twice. */
  readonly makingKeys: Effect.Effect<void, KmError, Scope.Scope>
  /** Whether agents can be jailed on this machine. */
  readonly jail: Effect.Effect<JailHere>
  /** The agent's CLI, which has answered; KM-AGT-001 where none does. */
  readonly claude: Effect.Effect<ClaudeHere, KmError>
  readonly children: {
    readonly bridge: ChildCommand
    readonly runtime: ChildCommand
    readonly control: ChildCommand
    readonly workspace: (credentialsFile: string) => ChildCommand
    readonly model: ChildCommand
    /** Takes mail in by SMTP, where the install says so. */
    readonly mailIn: ChildCommand
    /** Gives mail for other people to a relay, where the install has one. */
    readonly mailOut: ChildCommand
  }
}

export class Backends extends Context.Service<Backends, {
  /** Makes nothing yet; the directory is absolute. */
  readonly open: (stateRoot: string) => Effect.Effect<Backend, KmError>
}>()("km/km-cli/Backends") {}
