/** What a destroyed sandbox leaves, on the real engine: every table and every file, each with its reason or not at all. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { km, kmUp } from "../support/KmProcess.ts"
import { bashScript } from "../support/ScriptedModel.ts"
import { untilReal } from "../support/untilReal.ts"

/** Tables of `engine.db` in which rows about it stay, with the reason and the time that `docs/operating.md` gives. */
const keptRows: Readonly<Record<string, string>> = {
  alias_channels: "an alias' memory of its channel",
  idempotency: "rows that only refuse repetitions: idempotency records for 15 days",
  identities: "public keys that still verify mail in flight (30 days)",
  mail: "mail that others received",
  mail_filed: "mail that others received",
  mail_notes: "the operator's notes of mail that it wrote (30 days)",
  mail_seen: "what refuses mail that others received from being received twice (until a day after it expires)",
  posts: "rows that only refuse repetitions: posts for 30 days",
  sandbox_changes: "the note that tells watchers of the removal (10 minutes, then until another change)",
  schedule_runs: "the history of schedules",
  schedules: "the history of schedules",
  seen: "rows that only refuse repetitions: seen keys for 30 days"
}

/** There or not, as the last notices were told already or not. */
const untilTold: Readonly<Record<string, string>> = {
  mail_revisions: "the mail that tells the operator of its life",
  sandbox_facts: "notices of its life until they are told"
}

const stateDirectory = Effect.flatMap(
  FileSystem.FileSystem,
  (fs) => fs.makeTempDirectoryScoped({ prefix: "km-after-destroy-" })
)

/** Every row of every table, as text. */
const rowsOf = (state: string): ReadonlyMap<string, ReadonlySet<string>> => {
  const database = new DatabaseSync(path.join(state, "engine.db"), { readOnly: true })
  try {
    const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
      .all()
      // Counts changes, for whoever waits for one; it says nothing of any sandbox.
      .filter(({ name }) => name !== "revision")
    return new Map(tables.map(({ name }) => [
      String(name),
      new Set(
        database.prepare(`SELECT * FROM "${String(name)}"`).all().map((row) =>
          Object.values(row).map((value) => value instanceof Uint8Array ? Buffer.from(value).toString() : String(value))
            .join("\n")
        )
      )
    ]))
  } finally {
    database.close()
  }
}

const filesOf = (state: string): ReadonlyArray<string> =>
  readdirSync(state, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(state, path.join(entry.parentPath, entry.name)))

const succeeded = (state: string, ...words: ReadonlyArray<string>) =>
  Effect.tap(km(state, words), ({ err, exit }) => Effect.sync(() => assert.strictEqual(exit, 0, err)))

const created = Effect.fnUntraced(function*(state: string, alias: string) {
  const { out } = yield* succeeded(state, "create", "profiles/demo.yaml", "--alias", alias, "--json")
  return (JSON.parse(out) as { readonly sandbox: { readonly id: string; readonly channel: string } }).sandbox
})

describe("a sandbox that talked, wrote and received mail, and had schedules", () => {
  it.live("leaves, once destroyed, what the documents name and nothing else", () =>
    Effect.gen(function*() {
      const state = yield* stateDirectory
      yield* kmUp(state)
      const peer = yield* created(state, "peer")
      yield* succeeded(state, "chat", "peer", "script:text hello")
      const rowsBefore = rowsOf(state)
      const filesBefore = new Set(filesOf(state))

      const demo = yield* created(state, "demo")
      yield* succeeded(state, "chat", "demo", "script:text hello")
      yield* succeeded(state, "chat", "demo", bashScript(`echo canary-out | km-send --to ${peer.id} --subject out`))
      yield* succeeded(state, "email", "send", "--to", "demo", "--body-text", "canary-in")
      yield* succeeded(state, "chat", "demo", bashScript("km-recv --json --wait 20 --mark-read | grep canary-in"))
      yield* succeeded(
        state,
        "at",
        "in 1 second",
        "agent",
        "run",
        "demo",
        "--prompt",
        "script:text soon",
        "--name",
        "soon",
        "--yes"
      )
      yield* succeeded(state, "at", "in 7 days", "extend", demo.id, "1h", "--name", "later", "--yes")
      const ran = Effect.map(km(state, ["at", "history", "soon"]), ({ out }) => /succeeded/.test(out))
      yield* untilReal("the schedule has run", ran)

      yield* succeeded(state, "destroy", "demo", "--yes")
      // Rows of the one that lives on, such as its lease, are not about this one.
      const about = (row: string) =>
        [demo.id, demo.channel, "canary-"].some((mark) => row.includes(mark)) || !row.includes(peer.id)
      const left = [...rowsOf(state)].map(([table, rows]) => ({
        table,
        rows: [...rows].filter((row) => rowsBefore.get(table)?.has(row) !== true && about(row))
      })).filter(({ rows }) => rows.length > 0)
      const tables = left.map(({ table }) => table).filter((table) => !Object.hasOwn(untilTold, table))
      assert.deepStrictEqual(tables.toSorted(), Object.keys(keptRows))
      // Of the mail, only the message that the other one received; what the operator is told mentions no other sandbox.
      for (const { rows, table } of left) {
        if (["mail", "mail_filed", "mail_seen"].includes(table)) {
          assert.lengthOf(rows.filter((row) => row.includes(peer.id)), 1)
        }
      }
      const documented = readFileSync("docs/operating.md", "utf8").replaceAll(/\s+/g, " ")
      for (const reason of [...Object.values(keptRows), ...Object.values(untilTold)]) {
        for (const words of reason.split(": ")) assert.include(documented, words)
      }
      // A bell is an empty file by which processes wake each other.
      const files = filesOf(state).filter((file) => !filesBefore.has(file) && !file.startsWith("bells/"))
      // What the schedule did is in the control plane's own record, which outlives every sandbox, and its lock.
      assert.deepStrictEqual(files.filter((file) => !/^(audit|run)\/(audit-)?control-\d+\./.test(file)), [])
      assert.deepStrictEqual(filesOf(state).filter((file) => file.includes(demo.id)), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer)))
})
