/** The tables of `engine.db` and of a sandbox's `ledger.db`. Times are Unix milliseconds. Migrations are only appended. */

const engine1 = `
CREATE TABLE queues (id TEXT PRIMARY KEY) WITHOUT ROWID, STRICT;

-- head marks the first message of its group, the only one that may be received.
CREATE TABLE queue_messages (
  seq INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  grp TEXT NOT NULL,
  body TEXT NOT NULL,
  sent_at INTEGER NOT NULL,
  receive_count INTEGER NOT NULL DEFAULT 0,
  receipt TEXT,
  received_at INTEGER NOT NULL DEFAULT 0,
  visible_at INTEGER NOT NULL DEFAULT 0,
  head INTEGER NOT NULL
) STRICT;
CREATE INDEX queue_messages_group ON queue_messages (queue, grp, seq);
CREATE INDEX queue_messages_key ON queue_messages (queue, key);
CREATE INDEX queue_messages_head ON queue_messages (queue, seq, visible_at) WHERE head = 1;

CREATE TABLE queue_dedupe (
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (queue, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX queue_dedupe_until ON queue_dedupe (queue, until);

CREATE TABLE queue_dead (
  queue TEXT NOT NULL,
  key TEXT NOT NULL,
  grp TEXT NOT NULL,
  body TEXT NOT NULL,
  receive_count INTEGER NOT NULL,
  dead_at INTEGER NOT NULL,
  noticed INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (queue, key)
) STRICT;

CREATE TABLE controls (
  seq INTEGER PRIMARY KEY,
  sandbox TEXT NOT NULL,
  id TEXT NOT NULL,
  request TEXT NOT NULL,
  UNIQUE (sandbox, id)
) STRICT;

-- attributes is JSON and may hold keys that this version does not know; alias and channel repeat it for look-ups.
CREATE TABLE sandboxes (
  id TEXT PRIMARY KEY,
  alias TEXT UNIQUE,
  channel TEXT,
  attributes TEXT NOT NULL
) STRICT;
CREATE INDEX sandboxes_channel ON sandboxes (channel);
CREATE TABLE sandbox_changes (id TEXT PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX sandbox_changes_seq ON sandbox_changes (seq);
CREATE TABLE alias_channels (alias TEXT PRIMARY KEY, channel TEXT NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE threads (
  channel TEXT NOT NULL,
  thread_ts TEXT NOT NULL,
  sandbox TEXT NOT NULL,
  session TEXT,
  created_at INTEGER NOT NULL,
  last_turn_at INTEGER NOT NULL,
  PRIMARY KEY (channel, thread_ts)
) WITHOUT ROWID, STRICT;
CREATE INDEX threads_session ON threads (session);
CREATE INDEX threads_sandbox ON threads (sandbox);
CREATE INDEX threads_last ON threads (last_turn_at);

CREATE TABLE identities (
  subject TEXT NOT NULL,
  purpose TEXT NOT NULL,
  key_id TEXT NOT NULL,
  certificate TEXT NOT NULL,
  signature TEXT NOT NULL,
  put_at INTEGER NOT NULL,
  retired_at INTEGER,
  PRIMARY KEY (subject, purpose, key_id)
) STRICT;
CREATE TABLE revocations (number INTEGER PRIMARY KEY, revocation TEXT NOT NULL, signature TEXT NOT NULL) STRICT;

CREATE TABLE idempotency (
  scope TEXT NOT NULL,
  key TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  token TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  lease_until INTEGER NOT NULL,
  result TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (scope, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX idempotency_expires ON idempotency (expires_at);

CREATE TABLE seen (key TEXT PRIMARY KEY, turn TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX seen_expires ON seen (expires_at);

CREATE TABLE posts (
  channel TEXT NOT NULL,
  ts TEXT NOT NULL,
  sender TEXT NOT NULL,
  thread_ts TEXT,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (channel, ts)
) WITHOUT ROWID, STRICT;
CREATE INDEX posts_sender ON posts (sender);
CREATE INDEX posts_expires ON posts (expires_at);
CREATE TABLE live_messages (
  sender TEXT NOT NULL,
  live TEXT NOT NULL,
  row TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (sender, live)
) WITHOUT ROWID, STRICT;
CREATE INDEX live_messages_expires ON live_messages (expires_at);

CREATE TABLE leases (
  sandbox TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;
`

const engine2 = `
-- row is the whole schedule as JSON; next_at repeats it for look-ups and is NULL when nothing is to fire.
CREATE TABLE schedules (name TEXT PRIMARY KEY, next_at INTEGER, row TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE INDEX schedules_next ON schedules (next_at) WHERE next_at IS NOT NULL;
-- Firings that a person asked for and nobody has claimed yet.
CREATE TABLE schedule_requests (
  schedule TEXT NOT NULL,
  instant INTEGER NOT NULL,
  PRIMARY KEY (schedule, instant)
) WITHOUT ROWID, STRICT;
-- id is the claim; open is 1 until the run has ended.
CREATE TABLE schedule_runs (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  schedule TEXT NOT NULL,
  open INTEGER NOT NULL,
  row TEXT NOT NULL
) STRICT;
CREATE INDEX schedule_runs_schedule ON schedule_runs (schedule, seq);
CREATE INDEX schedule_runs_open ON schedule_runs (seq) WHERE open = 1;
`

const engine3 = `
-- state: arrived (not judged), inbox, quarantine, dropped (only its id is kept). raw is NULL when it is a file.
CREATE TABLE mail (
  seq INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  state TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  size INTEGER NOT NULL,
  unread INTEGER NOT NULL DEFAULT 1,
  visible_at INTEGER NOT NULL DEFAULT 0,
  receipt TEXT,
  content TEXT NOT NULL DEFAULT '',
  raw BLOB,
  UNIQUE (owner, id)
) STRICT;
CREATE INDEX mail_state ON mail (owner, state, seq);
CREATE INDEX mail_unread ON mail (owner, state, seq) WHERE unread = 1;
CREATE INDEX mail_receipt ON mail (owner, receipt) WHERE receipt IS NOT NULL;
CREATE TABLE mail_seen (
  owner TEXT NOT NULL,
  sender TEXT NOT NULL,
  nonce TEXT NOT NULL,
  manifest TEXT NOT NULL,
  delivery TEXT NOT NULL,
  keep_until INTEGER NOT NULL,
  PRIMARY KEY (owner, sender, nonce)
) WITHOUT ROWID, STRICT;
CREATE INDEX mail_seen_until ON mail_seen (keep_until);
`

const engine4 = `
-- A message is found by its own id, and by the id that it answers. Notes are facts about mail with an end.
ALTER TABLE mail ADD COLUMN message_id TEXT;
ALTER TABLE mail ADD COLUMN in_reply_to TEXT;
CREATE INDEX mail_message_id ON mail (owner, message_id, seq) WHERE message_id IS NOT NULL;
CREATE INDEX mail_in_reply_to ON mail (owner, in_reply_to, seq) WHERE in_reply_to IS NOT NULL;
CREATE TABLE mail_notes (
  owner TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  keep_until INTEGER NOT NULL,
  PRIMARY KEY (owner, key)
) WITHOUT ROWID, STRICT;
CREATE INDEX mail_notes_until ON mail_notes (keep_until);
`

const engine5 = `
-- Mail for a relay. raw is NULL when it is a file, or when nobody waits for it any more (done_at).
CREATE TABLE mail_out (
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  mail_from TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  done_at INTEGER,
  raw BLOB,
  PRIMARY KEY (owner, id)
) STRICT;
CREATE INDEX mail_out_done ON mail_out (done_at) WHERE done_at IS NOT NULL;
-- state: waiting, sent, failed.
CREATE TABLE mail_out_to (
  owner TEXT NOT NULL,
  id TEXT NOT NULL,
  address TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting',
  attempts INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL DEFAULT 0,
  reply TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (owner, id, address)
) WITHOUT ROWID, STRICT;
CREATE INDEX mail_out_due ON mail_out_to (next_at) WHERE state = 'waiting';
`

const engine6 = `
-- What runtimes say of themselves, as JSON; rows of earlier versions held it, and what they hold of it is not read.
CREATE TABLE sandbox_reports (sandbox TEXT PRIMARY KEY, report TEXT NOT NULL) WITHOUT ROWID, STRICT;
ALTER TABLE sandboxes ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
UPDATE sandboxes SET created_at = coalesce(json_extract(attributes, '$.createdAt'), 0);
CREATE INDEX sandboxes_created ON sandboxes (created_at);
`

const engine7 = `
-- Turns that are over. record is the whole of it as JSON; the other columns repeat it for look-ups.
CREATE TABLE turn_records (
  seq INTEGER PRIMARY KEY,
  sandbox TEXT NOT NULL,
  key TEXT NOT NULL,
  received_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  record TEXT NOT NULL,
  UNIQUE (sandbox, key)
) STRICT;
CREATE INDEX turn_records_received ON turn_records (sandbox, received_at, seq);
CREATE INDEX turn_records_finished ON turn_records (finished_at);
`

const engine8 = `
-- 1 when it was sent, one more with each redrive.
ALTER TABLE queue_messages ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE queue_dead ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
-- The newest accepted ts, beside the attributes, so that a message does not rewrite them all. The later of both counts.
ALTER TABLE sandboxes ADD COLUMN accepted_ts TEXT NOT NULL DEFAULT '';
`

const engine9 = `
-- What was sent and is not delivered yet. raw is NULL when it is a file; also_known_as and outside are JSON.
CREATE TABLE mail_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL,
  size INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  visible_at INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  receipt TEXT,
  also_known_as TEXT NOT NULL,
  outside_owner TEXT,
  outside TEXT,
  file TEXT,
  raw BLOB
) STRICT;
CREATE INDEX mail_outbox_outside ON mail_outbox (outside_owner) WHERE outside_owner IS NOT NULL;
CREATE INDEX mail_outbox_file ON mail_outbox (file) WHERE file IS NOT NULL;
CREATE TABLE mail_outbox_to (mail INTEGER NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (mail, owner)) WITHOUT ROWID, STRICT;
CREATE INDEX mail_outbox_to_owner ON mail_outbox_to (owner);

-- Beside the message, so that a list never passes over its bytes. content is NULL when it is a file. Mail that an earlier
-- version filed has no row here, and its content in its own one.
CREATE TABLE mail_filed (
  seq INTEGER PRIMARY KEY,
  summary TEXT NOT NULL,
  content_size INTEGER NOT NULL,
  content TEXT
) STRICT;
CREATE TABLE mail_revisions (owner TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID, STRICT;
`

/** Table and event of whatever a reader waits for: leases and reports are not among it, and are written all the time. */
const awaited = [
  ["controls", "INSERT"],
  ["mail", "INSERT"],
  ["mail", "UPDATE OF state, visible_at"],
  ["mail_outbox", "INSERT"],
  ["mail_outbox", "UPDATE OF visible_at"],
  ["mail_out_to", "INSERT"],
  ["mail_out_to", "UPDATE OF state, next_at"],
  ["mail_revisions", "INSERT"],
  ["mail_revisions", "UPDATE"],
  ["queue_messages", "INSERT"],
  ["queue_messages", "UPDATE OF visible_at, head"],
  ["queue_messages", "DELETE"],
  ["queues", "DELETE"],
  ["sandbox_changes", "INSERT"],
  ["sandbox_changes", "UPDATE"]
] as const

const engine10 = `
-- Rises with every change that a reader may wait for, whoever makes it: who lost a ring sees by it that there was one.
CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
INSERT INTO revision (number) VALUES (0);
${
  awaited.map(([table, event], n) =>
    `CREATE TRIGGER revision_${n} AFTER ${event} ON ${table} BEGIN UPDATE revision SET number = number + 1; END;`
  ).join("\n")
}
`

const engine11 = `
-- What is remembered of a sandbox beside its row; see runtime/ports/Facts.ts.
CREATE TABLE sandbox_facts (
  sandbox TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (sandbox, key)
) WITHOUT ROWID, STRICT;
`

const engine12 = `
-- How many messages a queue holds, so that nobody counts a million to say so. By triggers, whoever writes.
ALTER TABLE queues ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
UPDATE queues SET held = (SELECT count(*) FROM queue_messages WHERE queue = queues.id);
CREATE TRIGGER queue_held_more AFTER INSERT ON queue_messages BEGIN
  UPDATE queues SET held = held + 1 WHERE id = NEW.queue;
END;
CREATE TRIGGER queue_held_less AFTER DELETE ON queue_messages BEGIN
  UPDATE queues SET held = held - 1 WHERE id = OLD.queue;
END;
-- What was received once, in flight or back: a message that nobody has received costs no entry.
CREATE INDEX queue_messages_received ON queue_messages (queue, visible_at) WHERE head = 1 AND visible_at > 0;
-- Rows of every message that only a sweep looked for by their age; it now goes along the tables instead.
DROP INDEX seen_expires;
DROP INDEX queue_dedupe_until;
-- 1 for the trace of a sandbox that is gone.
ALTER TABLE sandbox_changes ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
UPDATE sandbox_changes SET gone = 1 WHERE id NOT IN (SELECT id FROM sandboxes);
CREATE INDEX sandbox_changes_gone ON sandbox_changes (at) WHERE gone = 1;
CREATE INDEX identities_retired ON identities (retired_at) WHERE retired_at IS NOT NULL;
-- A sandbox's threads, the last one first.
DROP INDEX threads_sandbox;
CREATE INDEX threads_sandbox ON threads (sandbox, last_turn_at);
CREATE INDEX sandbox_facts_key ON sandbox_facts (key);
`

export const engineMigrations: ReadonlyArray<string> = [
  engine1,
  engine2,
  engine3,
  engine4,
  engine5,
  engine6,
  engine7,
  engine8,
  engine9,
  engine10,
  engine11,
  engine12
]

const sandbox1 = `
-- row is the whole turn as JSON; the other columns repeat it for look-ups and comparisons.
CREATE TABLE turns (
  seq INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  row TEXT NOT NULL
) STRICT;
CREATE INDEX turns_open ON turns (received_at, seq) WHERE state <> 'settled';
CREATE INDEX turns_received ON turns (received_at, seq);
CREATE INDEX turns_finished ON turns (finished_at) WHERE state = 'settled';

CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE outbox (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  attempts INTEGER NOT NULL
) STRICT;
`

export const sandboxMigrations: ReadonlyArray<string> = [sandbox1]
