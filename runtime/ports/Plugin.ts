/**
 * The plugin contract. A plugin is a plain value, not a service: a service key names one implementation per program,
 * and we run many plugins at once.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { Profile } from "../domain/profile/Profile.ts"
import type { TurnRow } from "../domain/turn/Turn.ts"
import { ShownPart } from "../domain/turn/Turn.ts"
import type { TurnFrame } from "../domain/turn/TurnFrame.ts"
import type { AgentContribution, AgentProcess } from "./Agent.ts"

/** Kebab-case: `slack-inbound`, `transcript`. */
export const PluginId = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9-]{0,39}$/)).pipe(
  Schema.brand("km/PluginId")
)
export type PluginId = typeof PluginId.Type

/** `BadConfig`: will fail again; not restarted. The other two are restarted with back-off. */
export class PluginError extends Schema.TaggedError<PluginError>()("PluginError", {
  plugin: PluginId,
  operation: Schema.String,
  reason: Schema.Literals(["BadConfig", "Unavailable", "Crashed"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `plugin ${this.plugin} failed in ${this.operation}: ${this.detail}`
  }
}

/**
 * The outcome cannot be shown where it belongs (archived channel, revoked token, a text that Slack refuses): the turn
 * ends `undeliverable`. `shown` is what stands there nevertheless, such as a line that says so.
 */
export class Undeliverable extends Schema.TaggedError<Undeliverable>()("Undeliverable", {
  code: Schema.String,
  detail: Schema.String,
  shown: Schema.optionalKey(Schema.Array(ShownPart))
}) {
  override get message(): string {
    return `the outcome cannot be delivered: ${this.detail} (${this.code})`
  }
}

/**
 * Where turns of one kind come from and where their outcome goes. Every method may be called again for the same row
 * after a crash and must then change nothing that a person can see: its effects carry idempotency keys of the turn.
 */
export interface OriginHandler {
  /** As `originKind` names it: of a plugin's own turns, what it gave them as `of`. */
  readonly kind: string
  /** Environment for the agent, such as `KM_SLACK_THREAD_TS`. */
  readonly environment: (row: TurnRow) => Readonly<Record<string, string>>
  /** What the agent is told before the turn's text. Asked last: the agent starts when this is known. */
  readonly frame: (row: TurnRow) => Effect.Effect<TurnFrame>
  /** The session this turn continues, if its thread has one. */
  readonly session: (row: TurnRow) => Effect.Effect<string | undefined>
  /** The agent is about to start (⏳). */
  readonly starting: (row: TurnRow) => Effect.Effect<void>
  /**
   * Shows the outcome; `row.result` and `row.outcome` say which. `shown` is what observers already show of the answer.
   * Returns every message that shows it.
   */
  readonly settle: (
    row: TurnRow,
    shown: ReadonlyArray<ShownPart>
  ) => Effect.Effect<ReadonlyArray<ShownPart>, Undeliverable>
  /**
   * Says some lines in the thread beside the outcome, such as that a fresh session was begun. Its idempotency key is
   * `{turn key}/{step}/0`.
   */
  readonly notice?: (row: TurnRow, step: string, text: string) => Effect.Effect<void>
  /**
   * A parked turn runs again as `row`: edits the parked turn's notice (`parked.shown`) to say so. Its idempotency key is
   * `{row key}/replay/0`.
   */
  readonly replaying?: (parked: TurnRow, row: TurnRow) => Effect.Effect<void>
  /** Remembers the thread's session. */
  readonly remember: (row: TurnRow) => Effect.Effect<void>
  /** The final mark (✅ ❌ 🛑), then ⏳ away. */
  readonly mark: (row: TurnRow) => Effect.Effect<void>
  /** Gives the message back to where it came from: deletes the queue's receipt. An expired receipt is no failure. */
  readonly finish: (row: TurnRow) => Effect.Effect<void>
}

/** Watches turns without deciding anything. A failing observer is logged and left out; the turn goes on. */
export interface TurnObserver {
  /** The session and hook token exist, the process does not yet: subscribe to hooks here. */
  readonly starting: (row: TurnRow) => Effect.Effect<void, never, Scope.Scope>
  /** `process.events` is shared among observers by the kernel. */
  readonly started: (row: TurnRow, process: AgentProcess) => Effect.Effect<void, never, Scope.Scope>
  /**
   * Every process of the run is gone. Reconciles and flushes what was to be shown; returns the messages of the thread
   * that show the whole answer, if one does. Also called after a restart, without `started`.
   */
  readonly exited: (row: TurnRow) => Effect.Effect<ReadonlyArray<ShownPart>>
  /**
   * The outcome is visible and marked. The turn's slot and the next turn of the thread wait for this, for 10 s at most:
   * what takes longer is written down here and done beside the turns.
   */
  readonly posted: (row: TurnRow) => Effect.Effect<void>
}

/** A running plugin: what it does and what it adds. It owns nothing that the host cannot release. */
export interface PluginInstance {
  /**
   * Begun by the host once every plugin has been started (so that origins and observers are known) and the pipeline has
   * taken up its open turns; in the scope of `start`. Never ends: its end is a crash, as its failure is.
   */
  readonly run?: Effect.Effect<never, PluginError, Scope.Scope>
  /** For turns of its kind, from the start until the plugin stops; without one they wait. */
  readonly origin?: OriginHandler
  /** Told of every turn, in this order, after those of plugins that were started before. */
  readonly observers?: ReadonlyArray<TurnObserver>
  /**
   * What the agent gets. An attempt that begins while the plugin is down is made without it, and without its
   * `promptLines`, so that the agent is told of nothing that is not there.
   */
  readonly agent?: AgentContribution
  /**
   * What the agent is told with a turn's text beside the origin's frame, such as what it may push: one line each, which
   * the kernel makes harmless and marks as the system's own. At most 20 lines of 1,000 characters; the rest is left out.
   * A turn that continues after a crash has been told already and is not told again.
   */
  readonly promptLines?: (row: TurnRow) => Effect.Effect<ReadonlyArray<string>>
  /**
   * Fetches what the agent of a turn is to find when it starts, such as the files of a message, and says where it lies:
   * lines within the same limits. The agent waits, for 15 minutes at most; a stop of the turn ends the waiting. Asked
   * again after a crash, unless the turn continues.
   */
  readonly gather?: (row: TurnRow) => Effect.Effect<ReadonlyArray<string>>
  /**
   * What people are told in the turn's thread once its agent is gone, beside the outcome: such as what it was refused.
   * Markdown, a line each, within the same limits; one post for each plugin and turn. Asked again after a crash.
   */
  readonly notices?: (row: TurnRow) => Effect.Effect<ReadonlyArray<string>>
  /** One line for `km status`. */
  readonly detail?: Effect.Effect<string>
}

/**
 * What a plugin author writes. `start` is called once in each life of the plugin, in a scope that the host owns: every
 * handle, fiber and timer acquired there is released when the plugin is stopped. `R` lists the ports it needs. After a
 * crash the host lets go of the scope and starts it again, with back-off.
 */
export interface Plugin<Config, R = never> {
  readonly id: PluginId
  /** Started after these, stopped before them. Those not enabled are ignored. */
  readonly after: ReadonlyArray<PluginId>
  /** True when a runtime without this plugin running is not ready. */
  readonly essential: boolean
  readonly enabled: (profile: Profile) => boolean
  readonly config: Schema.Codec<Config, unknown>
  /** The raw configuration of this plugin, taken from the profile; decoded once by the host. */
  readonly configure: (profile: Profile) => unknown
  readonly start: (config: Config) => Effect.Effect<PluginInstance, PluginError, R | Scope.Scope>
}

/** The ports that a plugin needs. */
export type PortsOf<P> = P extends Plugin<infer _Config, infer R> ? R : never

/** Erases `Config` for storage in a list; the host has decoded it by then. */
// oxlint-disable-next-line typescript/no-explicit-any
export type AnyPlugin<R = never> = Plugin<any, R>
