/** A sandbox as `km list` and `km status` show it, for people and as stable JSON. */
import * as Schema from "effect/Schema"
import { NetworkMode } from "../runtime/domain/profile/Profile.ts"
import type { ReportedSandbox, SandboxRow } from "../runtime/domain/sandbox/Sandbox.ts"
import { span } from "./Output.ts"

const iso = (millis: number | undefined): string | undefined =>
  millis === undefined ? undefined : new Date(millis).toISOString()

/** The JSON of one sandbox; keys are only ever added. Times are ISO 8601 in UTC. */
export const SandboxView = Schema.Struct({
  id: Schema.String,
  alias: Schema.optionalKey(Schema.String),
  status: Schema.String,
  ready: Schema.Boolean,
  /** As the runtime reports it; before its first report, false where the operator accepted an agent without a jail. */
  confined: Schema.Boolean,
  /** What the agent's network is: the profile's, or the machine's where the agent is not confined. */
  network: NetworkMode,
  profile: Schema.String,
  channel: Schema.optionalKey(Schema.Struct({
    id: Schema.String,
    name: Schema.optionalKey(Schema.String),
    mode: Schema.optionalKey(Schema.String)
  })),
  createdAt: Schema.String,
  expiresAt: Schema.optionalKey(Schema.String),
  lastActiveAt: Schema.optionalKey(Schema.String),
  lastSeenAt: Schema.optionalKey(Schema.String),
  failureReason: Schema.optionalKey(Schema.String),
  plugins: Schema.Array(Schema.Struct({ id: Schema.String, state: Schema.String, detail: Schema.String }))
})
export type SandboxView = typeof SandboxView.Type

const given = <K extends string, A>(key: K, value: A | undefined): { readonly [P in K]?: A } =>
  value === undefined ? {} : { [key]: value } as { readonly [P in K]?: A }

export const viewOf = (row: ReportedSandbox): SandboxView => ({
  id: row.id,
  ...given("alias", row.alias),
  status: row.status,
  ready: row.ready,
  confined: isConfined(row),
  network: networkOf(row),
  profile: row.profile.metadata.name,
  ...(row.channel === undefined
    ? {}
    : { channel: { id: row.channel, ...given("name", row.channelName), ...given("mode", row.channelMode) } }),
  createdAt: new Date(row.createdAt).toISOString(),
  ...given("expiresAt", iso(row.expiresAt)),
  ...given("lastActiveAt", iso(row.lastActiveAt)),
  ...given("lastSeenAt", iso(row.lastSeenAt)),
  ...given("failureReason", row.failureReason === "" ? undefined : row.failureReason),
  plugins: row.plugins
})

/** What is so wins over what was accepted. */
export const isConfined = (row: ReportedSandbox): boolean => row.confined ?? !row.unconfined

/** Without the jail that the profile asks for, the machine's network is there whatever the profile says. */
export const networkOf = (row: ReportedSandbox): NetworkMode =>
  isConfined(row) ? row.profile.spec.network.mode : "shared"

/** Where there is no jail, the proxy is offered and nothing more. */
const unforced = "nothing forces its traffic through the proxy"

/** Whether the profile's proxy is there without the jail that would leave nothing beside it. */
const isUnforced = (row: ReportedSandbox): boolean => !isConfined(row) && row.profile.spec.network.mode === "proxy"

/** What the agent's network is, and what that means where it is the machine's. */
export const networkText = (row: ReportedSandbox): string => {
  const network = networkOf(row)
  if (network !== "shared") return network
  return `shared: the agent reaches what this machine reaches${isUnforced(row) ? `; ${unforced}` : ""}`
}

/** What being unconfined means for an agent's network, to be put after a sentence that says that it is. */
export const unconfinedNetwork = (row: ReportedSandbox): string => isUnforced(row) ? `; ${unforced}` : ""

/** What is said wherever a sandbox is shown whose profile has `sourceAccess.mode: audit`. */
export const refsNotEnforced = "refs not enforced"

export const enforcesRefs = ({ profile }: SandboxRow): boolean => profile.spec.sourceAccess.mode !== "audit"

const isPausing = ({ desired, status }: SandboxRow): boolean => status === "running" && desired === "stopped"

/**
 * `running`, `running, not ready`, `paused`, `pausing`, with `unconfined` where there is no jail, and `network shared`
 * where there is one in which the machine's network can be reached, and `refs not enforced` where GitHub's are only reported.
 */
export const statusText = (row: ReportedSandbox): string =>
  [
    row.status === "stopped" && row.desired === "stopped" ? "paused" : isPausing(row) ? "pausing" : row.status,
    ...(row.status === "running" && !isPausing(row) && !row.ready ? ["not ready"] : []),
    ...(isConfined(row) ? networkOf(row) === "shared" ? ["network shared"] : [] : ["unconfined"]),
    ...(enforcesRefs(row) ? [] : [refsNotEnforced])
  ].join(", ")

/** `#sb-demo`, or the id, or `-`. */
export const channelText = (row: SandboxRow): string =>
  row.channelName === undefined ? row.channel ?? "-" : `#${row.channelName}`

/** As every command lists them: oldest first. */
export const byAge = <Row extends SandboxRow>(rows: ReadonlyArray<Row>): ReadonlyArray<Row> =>
  rows.toSorted((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))

/** The cells of one row of `km list`. */
export const listCells = (row: ReportedSandbox, now: number): ReadonlyArray<string> => [
  row.alias ?? "-",
  row.id,
  statusText(row),
  channelText(row),
  row.profile.metadata.name,
  span(now - row.createdAt),
  row.expiresAt === undefined ? "-" : row.expiresAt <= now ? "over" : span(row.expiresAt - now),
  row.lastActiveAt === undefined || row.lastActiveAt === 0 ? "-" : span(now - row.lastActiveAt)
]

export const listHead = ["ALIAS", "ID", "STATUS", "CHANNEL", "PROFILE", "AGE", "TTL", "IDLE"]
