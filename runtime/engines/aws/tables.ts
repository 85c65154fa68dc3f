/**
 * The tables of an install: names, keys and indexes of the reference, and one of our own (docs/aws.md). Whoever makes them
 * reads this list.
 */

export interface TableKey {
  readonly partition: string
  readonly sort?: string
}

export interface TableIndex {
  readonly name: string
  readonly key: TableKey
  /** `local`: by the table's own partition key, and never behind. */
  readonly kind: "global" | "local"
  /** Attributes beside the keys; none when empty, all of them when absent. */
  readonly holds?: ReadonlyArray<string>
}

export interface TableShape {
  /** Behind the install's prefix and a hyphen. */
  readonly name: string
  readonly key: TableKey
  readonly indexes: ReadonlyArray<TableIndex>
  /** Unix seconds. Frees space only: whether a row has ended is decided by who reads it. */
  readonly ttl?: string
  /** Keys that are numbers; all others are strings. */
  readonly numbers?: ReadonlyArray<string>
}

export const sandboxesTable = {
  name: "sandboxes",
  key: { partition: "sandbox_id" },
  indexes: [
    { name: "alias-index", key: { partition: "alias" }, kind: "global" },
    { name: "slack_channel_id-index", key: { partition: "slack_channel_id" }, kind: "global" }
  ]
} as const satisfies TableShape

/** Everything that is one sandbox's own: a sandbox's role reaches its partition and no other. */
export const stateTable = {
  name: "sandbox-state",
  key: { partition: "sandbox_id", sort: "item" },
  indexes: [{
    name: "queue-index",
    key: { partition: "sandbox_id", sort: "queue_order" },
    kind: "local",
    holds: ["turn_key", "turn_group", "visible_at", "receive_count", "sent_at"]
  }],
  ttl: "ttl_expiry"
} as const satisfies TableShape

export const noncesTable = {
  name: "slack-bridge-nonces",
  key: { partition: "nonce" },
  indexes: [],
  ttl: "ttl_expiry"
} as const satisfies TableShape

export const channelsTable = {
  name: "slack-channels",
  key: { partition: "alias" },
  indexes: []
} as const satisfies TableShape

/** The reference's `slack-stream-messages`: whose message it is. */
export const postsTable = {
  name: "slack-stream-messages",
  key: { partition: "channel_id", sort: "slack_ts" },
  indexes: [],
  ttl: "ttl_expiry"
} as const satisfies TableShape

/** The reference's; `sandbox-index` is ours, since a channel may be shared. */
export const threadsTable = {
  name: "slack-threads",
  key: { partition: "channel_id", sort: "thread_ts" },
  indexes: [
    { name: "session-index", key: { partition: "claude_session_id" }, kind: "global", holds: [] },
    { name: "sandbox-index", key: { partition: "sandbox_id" }, kind: "global", holds: [] }
  ],
  ttl: "ttl_expiry"
} as const satisfies TableShape

/** The reference's, whose row has one key; ours are a map in it. */
export const identitiesTable = {
  name: "identities",
  key: { partition: "sandbox_id" },
  indexes: [{ name: "alias-index", key: { partition: "alias" }, kind: "global" }]
} as const satisfies TableShape

export const tables: ReadonlyArray<TableShape> = [
  identitiesTable,
  sandboxesTable,
  stateTable,
  noncesTable,
  channelsTable,
  postsTable,
  threadsTable
]
